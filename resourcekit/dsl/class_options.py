"""The options of a class statement: which values are wrong, and the part of a domain that a resource uses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import NoneType
from typing import Any, Protocol, runtime_checkable

from resourcekit.changeset import PHASES
from resourcekit.dsl.extension import Extension
from resourcekit.dsl.extension_checks import takes
from resourcekit.known_names import shown

__all__ = ["Group", "wrong_options"]


@runtime_checkable
class Group(Protocol):
    """The part of a domain that a resource uses."""

    @property
    def extensions(self) -> Sequence[Extension]:
        """The extensions that every member has."""
        ...

    def join(self, resource: Any) -> None:
        """Add a resource. The group is sealed again before the next use."""

    def before_first_use(self) -> None:
        """Seal the group if it is not sealed. Raise the errors that sealing found, at every use."""


def wrong_options(given: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Return the class options of a wrong type: problem and cure by option."""
    wrong: dict[str, tuple[str, str]] = {}
    for option in ("extensions", "notifiers"):
        if not isinstance(given.get(option, ()), (list, tuple)):
            what = f"{option} must be a list, is {shown(given[option])}"
            wrong[option] = what, f"Write {option}=[...]."
    for notifier in given.get("notifiers", ()) if "notifiers" not in wrong else ():
        if isinstance(notifier, type) or not callable(getattr(notifier, "notify", notifier)):
            what = f"a notifier must be a function of a Notification, or an object with notify, not {shown(notifier)}"
            wrong["notifiers"] = what, "Write notifiers=[notify], where notify(notification) is a function."
        elif not takes(getattr(notifier, "notify", notifier), 1):
            what = f"the notifier {getattr(notifier, '__name__', type(notifier).__name__)} does not take a notification"
            wrong["notifiers"] = what, "Give it one parameter: def notify(notification)."
        elif getattr(notifier, "phase", "normal") not in PHASES:
            what = f"the phase of a notifier is {notifier.phase!r}"
            wrong["notifiers"] = what, f"Write one of {', '.join(map(repr, PHASES))}."
    if not isinstance(given.get("domain"), (Group, NoneType)):
        wrong["domain"] = f"domain must be a Domain, is {type(given['domain']).__name__}", 'Write domain=Domain("accounts").'
    if not isinstance(given.get("abstract", False), bool):
        wrong["abstract"] = f"abstract must be True or False, is {type(given['abstract']).__name__}", "Write abstract=True."
    return wrong
