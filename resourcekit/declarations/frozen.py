"""Read-only lists and dicts for the values of records, so that a record cannot be changed in place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from resourcekit.errors import Misuse

__all__ = ["FrozenDict", "FrozenList", "frozen", "thawed"]


def _refuse(self: object, *_: object, **__: object) -> NoReturn:
    kind = "list" if isinstance(self, list) else "dict"
    msg = f"a {kind} of a record does not change; make a new one, and write it with an update action"
    raise Misuse(msg)


class FrozenList(list[Any]):
    """A read-only list. It equals the plain list, and ``.copy()`` returns a plain list."""

    __slots__ = ()

    __setitem__ = __delitem__ = __iadd__ = __imul__ = _refuse
    append = extend = insert = pop = remove = clear = sort = reverse = _refuse

    def copy(self) -> list[Any]:
        """Return a plain copy, in which nested lists and dicts are plain, too."""
        copied: list[Any] = thawed(self)
        return copied

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[list[Any]]]:
        """Pickle and copy by the items: the usual protocol appends to an empty list."""
        return type(self), (list(self),)


class FrozenDict(dict[str, Any]):
    """A read-only dict. It equals the plain dict, and ``.copy()`` returns a plain dict."""

    __slots__ = ()

    __setitem__ = __delitem__ = __ior__ = _refuse
    update = setdefault = pop = popitem = clear = _refuse

    def copy(self) -> dict[str, Any]:
        """Return a plain copy, in which nested lists and dicts are plain, too."""
        copied: dict[str, Any] = thawed(self)
        return copied

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[dict[str, Any]]]:
        """Pickle and copy by the items: the usual protocol adds to an empty dict."""
        return type(self), (dict(self),)


def frozen(value: Any) -> Any:
    """Return a value in which all lists and dicts are read-only."""
    if isinstance(value, dict):
        return value if type(value) is FrozenDict else FrozenDict((name, frozen(item)) for name, item in value.items())
    if isinstance(value, list):
        return value if type(value) is FrozenList else FrozenList(map(frozen, value))
    return value


def thawed(value: Any) -> Any:
    """Return a value in which all lists and dicts are plain copies."""
    if isinstance(value, dict):
        return {name: thawed(item) for name, item in value.items()}
    return [thawed(item) for item in value] if isinstance(value, list) else value
