"""Translates errors of redis-py and of servers into errors of resourcekit. Their text is dropped, because it may contain a
key."""

from __future__ import annotations

from redis import exceptions

from resourcekit.errors import DataLayerError, OutcomeUnknown, Timeout, Unavailable

__all__ = ["LATE", "lost", "not_primary", "refused", "too_late", "unreachable"]

_CURES = {
    "OOM": "its memory is full; raise maxmemory, or let it sweep",
    "READONLY": "it is a replica, whose answers may be from the past; ask the primary",
    "LOADING": "it is still loading its data",
    "MASTERDOWN": "its primary is gone",
    "CLUSTERDOWN": "its cluster is down",
    "TRYAGAIN": "its cluster is moving the slot",
    "NOREPLICAS": "too few replicas are there",
    "MISCONF": "it cannot write to its disk",
    "NOAUTH": "it asks for a password",
    "WRONGPASS": "it refused the password",
    "NOPERM": "its user may not do this",
}


LATE = "the deadline passed before the server answered"
"""Message of a Timeout."""


def too_late() -> Timeout:
    """Return the error for a deadline that has passed."""
    return Timeout(LATE)


def unreachable() -> Unavailable:
    """Return the error for a server that cannot be reached."""
    return Unavailable("the Redis server could not be reached")


def not_primary() -> Unavailable:
    """Return the error for a server that is a replica, whose answers may be stale."""
    return Unavailable(f"the Redis server cannot serve: {_CURES['READONLY']}")


def lost(*, late: bool, writes: bool) -> DataLayerError:
    """Return the error for an answer that did not come."""
    if writes:
        return OutcomeUnknown("the write was sent and no answer came: it may be applied or not")
    return too_late() if late else unreachable()


def refused(answer: Exception) -> DataLayerError:
    """Return the error for an error answer; nothing was done."""
    word = str(answer).partition(" ")[0].upper()
    # redis-py removes the error code from errors that it has classes for.
    word = next((name for kind, name in _KINDS.items() if isinstance(answer, kind)), word)
    if word in _CURES:
        return Unavailable(f"the Redis server cannot serve: {_CURES[word]}")
    return DataLayerError(f"the Redis server refused a command ({word[:20] if word.isalpha() else 'ERR'})")


_KINDS: dict[type[Exception], str] = {
    exceptions.OutOfMemoryError: "OOM",
    exceptions.ReadOnlyError: "READONLY",
    exceptions.BusyLoadingError: "LOADING",
    exceptions.MasterDownError: "MASTERDOWN",
    exceptions.ClusterDownError: "CLUSTERDOWN",
    exceptions.AuthenticationError: "NOAUTH",
    exceptions.NoPermissionError: "NOPERM",
}
