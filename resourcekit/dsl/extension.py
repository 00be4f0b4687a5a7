"""Extensions: an attrs class of options that also says what it adds to a resource. It knows no resource."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, Self

import attrs

from resourcekit.dsl.entity import Entity
from resourcekit.dsl.finding import Finding
from resourcekit.dsl.option import Options
from resourcekit.dsl.service import Service
from resourcekit.dsl.transformer import Transformer
from resourcekit.dsl.verifier import Verifier

__all__ = ["Check", "Extension"]


class Check:
    """A look of ``doctor`` at a resource in its surroundings (settings, store, other resources).

    reads_all: whether it may read a whole table; it is left out then when a Supervisor starts.
    """

    reads_all: ClassVar[bool] = False

    # Any: the facts are the framework's, the options those of the check's own extension.
    async def check(self, info: Any, options: Any) -> Iterable[Finding]:
        """Return what is wrong, with the cure; nothing where all is well."""
        raise NotImplementedError


@attrs.frozen(kw_only=True)
class Extension(Options):
    """The base of extensions. Its fields are the user's options, its class variables what it brings.

    entities: kinds of entity that it adds to the vocabulary of the class body.
    template: an abstract resource whose declarations every user of the extension gets; the user's own win.
    requires: extensions that are applied first, with their defaults unless the user names them too.
    transformers, verifiers: the steps of its compilation. services: background work. checks: for ``doctor``.
    """

    entities: ClassVar[tuple[type[Entity], ...]] = ()
    template: ClassVar[type[Any] | None] = None
    requires: ClassVar[tuple[type[Extension], ...]] = ()
    transformers: ClassVar[tuple[type[Transformer], ...]] = ()
    verifiers: ClassVar[tuple[type[Verifier], ...]] = ()
    services: ClassVar[tuple[type[Service], ...]] = ()
    checks: ClassVar[tuple[type[Check], ...]] = ()

    def __init_subclass__(cls) -> None:
        """Link a template back to its extension, so that subclassing the template brings the extension along."""
        super().__init_subclass__()
        if (template := cls.__dict__.get("template")) is not None:
            template.__extension__ = cls

    @classmethod
    def of(cls, resource: Any) -> Self:
        """Return the options of this extension on a resource.

        Raises LookupError where the resource does not have the extension.
        """
        facts = getattr(resource, "__info__", None)
        found = None if facts is None else facts.extensions.get(cls)
        if not isinstance(found, cls):
            msg = f"{getattr(resource, '__name__', resource)} does not have the extension {cls.__name__}; name it in extensions=[...]"
            raise LookupError(msg)  # noqa: TRY004  # the resource is asked for something that it does not have
        return found
