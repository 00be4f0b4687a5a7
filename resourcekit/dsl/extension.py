"""Extensions: attrs classes of options that also declare what they add to a resource."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Self

import attrs

from resourcekit.dsl.diagnostics import Finding
from resourcekit.dsl.entity import Entity, EntityOptions
from resourcekit.dsl.extension_checks import check_class, check_flags, check_members, check_shape, require_attrs, wrong_class
from resourcekit.dsl.option import Options
from resourcekit.dsl.passes import Transformer, Verifier
from resourcekit.dsl.service import Service
from resourcekit.dsl.state import options_of
from resourcekit.errors import InvalidArgument, MissingExtension, MissingMethod
from resourcekit.known_names import shown

__all__ = ["Check", "Extension"]


class Check:
    """A check that ``doctor`` runs on a resource and its deployment (settings, store, other resources).

    reads_all: it may read a whole table, so it is left out when a Supervisor starts.
    """

    reads_all: ClassVar[bool] = False

    # Any: the facts belong to the framework, the options to the check's own extension.
    async def check(self, info: Any, options: Any) -> Iterable[Finding]:
        """Return the findings, each with its cure; empty if there is no problem."""
        raise MissingMethod.of(self, "check")


@attrs.frozen(kw_only=True)
class Extension(Options):
    """The base of extensions. Its fields are the user's options, its class variables the additions to a resource.

    entities: kinds of entity that it adds to class bodies.
    entity_options: kinds of options that it adds to entities of other extensions.
    template: an abstract resource whose declarations every resource with the extension gets; a declaration of the user
        replaces that of the template.
    requires: extensions that are applied first, with their defaults unless the user names them too.
    transformers, verifiers: its compile steps.
    services: background work.
    checks: for ``doctor``.
    """

    entities: ClassVar[tuple[type[Entity], ...]] = ()
    entity_options: ClassVar[tuple[type[EntityOptions], ...]] = ()
    template: ClassVar[type[Any] | None] = None
    requires: ClassVar[tuple[type[Extension], ...]] = ()
    transformers: ClassVar[tuple[type[Transformer], ...]] = ()
    verifiers: ClassVar[tuple[type[Verifier], ...]] = ()
    services: ClassVar[tuple[type[Service], ...]] = ()
    checks: ClassVar[tuple[type[Check], ...]] = ()

    def __init_subclass__(cls) -> None:
        """Store the extension on its template, so that a subclass of the template gets the extension, too.

        Raise DeclarationError RK015 if the class brings something that the framework cannot use.
        """
        super().__init_subclass__()
        _check(cls)
        if (template := cls.__dict__.get("template")) is not None:
            template.__extension__ = cls

    @classmethod
    def of(cls, resource: Any) -> Self:
        """Return the options of this extension, or of a subclass of it, on a resource, or among the extensions of a domain.

        Raise MissingExtension if the resource or the domain does not have the extension.
        """
        info = getattr(resource, "__info__", None)
        if info is not None and not isinstance(resource, type):
            what = f"takes a resource class, not a record; write {cls.__name__}.of({type(resource).__name__})"
            raise InvalidArgument(what, resource=type(resource).__name__)
        named = getattr(resource if info is None else info, "extensions", ())
        found = options_of(cls, named if isinstance(named, Mapping) else {type(each): each for each in named})
        if found is None:
            called = str(getattr(resource, "__name__", shown(resource)))
            what = f"{called} does not have the extension {cls.__name__}"
            origin = getattr(info, "origin", "")
            hint = f"Name it: extensions=[{cls.__name__}]."
            raise MissingExtension("RK019", what, resource=called, path=("extensions",), origin=origin, hint=hint)
        return found


_HOOKS = ("entities", "entity_options", "template", "requires", "transformers", "verifiers", "services", "checks")


_NOT_READ = {
    **dict.fromkeys(
        ("actions", "attributes", "calculations", "identities", "indexes", "relationships"),
        "Declare them in a template, or add them in a transformer: state.add(...).",
    ),
    "functions": "Declare them in a template, or add them in a transformer: state.define(...).",
    "notifiers": "Set them in a transformer: state.set_option(...).",
}
"""Class variables of other frameworks, or of a resource, that bring nothing; with the way to bring it."""


def _check(cls: type[Extension]) -> None:
    ours = [
        name for base in cls.__mro__[1:] if base.__module__.startswith("resourcekit.") for name in vars(base) if name[0] != "_"
    ]
    check_class(cls, (*_HOOKS, *ours), _NOT_READ)
    for kind in check_members(cls, "entities", Entity):
        require_attrs(kind)
        section: object = kind.section
        if not isinstance(section, str) or not section:
            raise wrong_class(kind, "section", f"section must be a text, is {section!r}", 'Write section = "rules".')
        check_flags(kind, singleton=bool, deprecated=str)
    if isinstance(cls.requires, (tuple, list)) and Extension in cls.requires:  # type: ignore[redundant-expr]  # an author may give a class
        what = "requires has Extension itself, which brings nothing"
        raise wrong_class(cls, "requires", what, "Give a class that inherits from it.")
    for _ in (*check_members(cls, "requires", Extension), *check_members(cls, "entity_options", EntityOptions)):
        pass
    for step in check_members(cls, "transformers", Transformer, ["transform"]):
        step.check()
        check_shape(step, Transformer, "transform")
    for verifier in check_members(cls, "verifiers", Verifier, ["verify"], instead="verify_domain"):
        check_class(verifier, ["across", "at_start", "verify", "verify_domain"])
        check_flags(verifier, across=bool, at_start=bool)
        check_shape(verifier, Verifier, "verify", "verify_domain")
    for service in check_members(cls, "services", Service, ["interval", "run"]):
        check_class(service, ["name", "once_per_fleet", "each", "needs", "interval", "prepare", "run", "lag"])
        check_flags(service, name=str, once_per_fleet=bool)
        if vars(service).get("name") == "":
            hint = "Write a name for status() and log lines, or leave it out: the name of the class is used."
            raise wrong_class(service, "name", f"the name of {service.__name__} is empty", hint)
        check_shape(service, Service, "interval", "prepare", "run", "lag")
        if service.each is not None and not (isinstance(service.each, type) and issubclass(service.each, Entity)):
            raise wrong_class(service, "each", f"each must be a kind of entity, is {service.each!r}", "Give the entity's class.")
    for check in check_members(cls, "checks", Check, ["check"]):
        check_class(check, ["reads_all", "check"])
        check_flags(check, reads_all=bool)
        check_shape(check, Check, "check")
    given = getattr(cls.template, "__dict__", {})
    if cls.template is not None and ("__info__" not in given or "__runtime__" in given):
        what = f"template must be an abstract resource, is {cls.template!r}"
        raise wrong_class(cls, "template", what, "Write it so: class Parts(Resource, abstract=True).")
