"""The builders of relationships: belongs_to, has_one, has_many, many_to_many, related."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Literal, overload

from resourcekit.declarations.relationships import Many, OnDelete, One, Relationship
from resourcekit.dsl.builder import checked_builder
from resourcekit.dsl.diagnostics import Origin
from resourcekit.expressions.nodes import Expression

__all__ = ["belongs_to", "has_many", "has_one", "many_to_many", "related"]

Sorting = Sequence[str] | Callable[[], Sequence[Any]]
Destination = type | str | Callable[[], type]


def _names(given: str | tuple[str, ...]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)


# The overloads show type checkers that a relationship is no parameter of the constructor (PEP 681).
@overload
def belongs_to(
    key: str,
    *,
    on_delete: OnDelete = ...,
    to: Destination | None = ...,
    to_field: str | None = ...,
    public: bool = ...,
    doc: str = ...,
    init: Literal[False] = False,
) -> Any: ...
@overload
def belongs_to(
    key: tuple[str, ...],
    *,
    on_delete: OnDelete = ...,
    to: Destination | None = ...,
    to_field: tuple[str, ...] | None = ...,
    public: bool = ...,
    doc: str = ...,
    init: Literal[False] = False,
) -> Any: ...
@checked_builder("belongs_to")
def belongs_to(
    key: str | tuple[str, ...],
    *,
    on_delete: OnDelete = "restrict",
    to: Destination | None = None,
    to_field: str | tuple[str, ...] | None = None,
    public: bool = False,
    doc: str = "",
    init: Literal[False] = False,
) -> Any:
    """Declare that a record refers to one record: ``author: One[Author | None] = belongs_to("author_id")``.

    key: the attribute that holds the key of the other record, or several as a tuple. It is declared as an attribute, too.
    on_delete: what happens if the other record is removed. ``"restrict"`` refuses it with ForeignKeyViolation; ``"cascade"`` removes
        this record, too; ``"nullify"`` sets the key to ``None``; ``"nothing"`` keeps no rule, and creates no foreign key.
    to: the other resource, if the annotation cannot name it: ``to=lambda: Author`` or ``to="app.library.Author"``.
    to_field: the attributes of the other resource that ``key`` holds; its primary key unless given.
    public: ``as_dict`` shows the record if it was loaded.
    init: shows type checkers that the constructor does not take a relationship.
    """
    del init
    return One[Any](
        Relationship(
            kind="belongs_to",
            key=_names(key),
            on_delete=on_delete,
            to=to,
            to_field=_names(to_field or ()),
            public=public,
            origin=Origin.here(),
            doc=doc,
        )
    )


@overload
def has_one(
    key: str,
    *,
    sort: Sorting = ...,
    where: Callable[[], Expression] | None = ...,
    to: Destination | None = ...,
    public: bool = ...,
    doc: str = ...,
    init: Literal[False] = False,
) -> Any: ...
@overload
def has_one(
    key: tuple[str, ...],
    *,
    sort: Sorting = ...,
    where: Callable[[], Expression] | None = ...,
    to: Destination | None = ...,
    public: bool = ...,
    doc: str = ...,
    init: Literal[False] = False,
) -> Any: ...
@checked_builder("has_one")
def has_one(
    key: str | tuple[str, ...],
    *,
    sort: Sorting = (),
    where: Callable[[], Expression] | None = None,
    to: Destination | None = None,
    public: bool = False,
    doc: str = "",
    init: Literal[False] = False,
) -> Any:
    """Declare that at most one record refers to a record: ``profile: One[Profile | None] = has_one("user_id")``.

    key: the attribute of the other resource that holds the key of this one. It has an identity, or ``sort`` decides which
        record is the one.
    sort: names of attributes of the other resource (``"-opened_at"`` for descending), or a lambda that returns sort keys.
    where: a lambda that returns a condition for the other record.
    to, public, init: as for belongs_to.
    """
    del init
    return One[Any](
        Relationship(kind="has_one", key=_names(key), sort=sort, where=where, to=to, public=public, origin=Origin.here(), doc=doc)
    )


@overload
def has_many(
    key: str,
    *,
    sort: Sorting = ...,
    where: Callable[[], Expression] | None = ...,
    limit: int | None = ...,
    to: Destination | None = ...,
    public: bool = ...,
    doc: str = ...,
    init: Literal[False] = False,
) -> Any: ...
@overload
def has_many(
    key: tuple[str, ...],
    *,
    sort: Sorting = ...,
    where: Callable[[], Expression] | None = ...,
    limit: int | None = ...,
    to: Destination | None = ...,
    public: bool = ...,
    doc: str = ...,
    init: Literal[False] = False,
) -> Any: ...
@checked_builder("has_many")
def has_many(
    key: str | tuple[str, ...],
    *,
    sort: Sorting = (),
    where: Callable[[], Expression] | None = None,
    limit: int | None = None,
    to: Destination | None = None,
    public: bool = False,
    doc: str = "",
    init: Literal[False] = False,
) -> Any:
    """Declare that records refer to a record: ``books: Many[Book] = has_many("author_id", sort=["title"])``.

    key: the attribute of the other resource that holds the key of this one, or several as a tuple.
    sort, where: as for has_one.
    limit: the greatest number of records, the first ones by the order.
    to, public, init: as for belongs_to.
    """
    del init
    return Many[Any](
        Relationship(
            kind="has_many",
            key=_names(key),
            sort=sort,
            where=where,
            limit=limit,
            to=to,
            public=public,
            origin=Origin.here(),
            doc=doc,
        )
    )


@overload
def many_to_many(
    *,
    through: Destination,
    source: str,
    destination: str,
    sort: Sorting = ...,
    where: Callable[[], Expression] | None = ...,
    limit: int | None = ...,
    to: Destination | None = ...,
    public: bool = ...,
    doc: str = ...,
    init: Literal[False] = False,
) -> Any: ...
@overload
def many_to_many(
    *,
    through: Destination,
    source: tuple[str, ...],
    destination: tuple[str, ...],
    sort: Sorting = ...,
    where: Callable[[], Expression] | None = ...,
    limit: int | None = ...,
    to: Destination | None = ...,
    public: bool = ...,
    doc: str = ...,
    init: Literal[False] = False,
) -> Any: ...
@checked_builder("many_to_many")
def many_to_many(
    *,
    through: Destination,
    source: str | tuple[str, ...],
    destination: str | tuple[str, ...],
    sort: Sorting = (),
    where: Callable[[], Expression] | None = None,
    limit: int | None = None,
    to: Destination | None = None,
    public: bool = False,
    doc: str = "",
    init: Literal[False] = False,
) -> Any:
    """Declare that records are connected by a resource between them.

    For example ``tags: Many[Tag] = many_to_many(through=lambda: TicketTag, source="ticket_id", destination="tag_id")``.

    through: the resource between the two.
    source, destination: its attributes that hold the key of this resource, and of the other one.
    sort, where, limit: of the records at the other end, as for has_many.
    to, public, init: as for belongs_to.
    """
    del init
    return Many[Any](
        Relationship(
            kind="many_to_many",
            through=through,
            source=_names(source),
            destination=_names(destination),
            sort=sort,
            where=where,
            limit=limit,
            to=to,
            public=public,
            origin=Origin.here(),
            doc=doc,
        )
    )


@overload
def related(
    *,
    load: Callable[[list[Any]], Coroutine[Any, Any, Mapping[Any, Any]]],
    to: Destination | None = ...,
    public: bool = ...,
    doc: str = ...,
    init: Literal[False] = False,
) -> Any: ...
@overload
def related(
    *,
    load: Callable[[list[Any]], Mapping[Any, Any]],
    to: Destination | None = ...,
    public: bool = ...,
    doc: str = ...,
    init: Literal[False] = False,
) -> Any: ...
@checked_builder("related")
def related(
    *, load: Callable[..., Any], to: Destination | None = None, public: bool = False, doc: str = "", init: Literal[False] = False
) -> Any:
    """Declare a relationship whose records a function finds: ``similar: Many[Song] = related(load=find_similar)``.

    load: a function of a list of records, sync or async. It is called once for all records, and returns a mapping from primary
        key (a tuple for a composite one) to the related record (One) or records (Many). Keys may be left out.
    to, public, init: as for belongs_to.
    """
    del init
    return One[Any](Relationship(kind="related", load=load, to=to, public=public, origin=Origin.here(), doc=doc))
