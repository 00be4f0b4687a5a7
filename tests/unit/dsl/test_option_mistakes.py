"""Mistakes in options, entities and their classes: none passes in silence, and none is a bare Python error."""

from __future__ import annotations

import pytest

from tests.support.mistakes import refusal

MISTAKES = {
    "list[int] items": (
        "RK003",
        "option 'n' must be list[int], and has an item that is str",
        """
        @attrs.frozen(kw_only=True)
        class E(Extension):
            n: list[int] = option(factory=list)
        E(n=[1,"2"])
        """,
    ),
    "dict items": (
        "RK003",
        "option 'n' must be dict[str, int], and has an item that is str",
        """
        @attrs.frozen(kw_only=True)
        class E(Extension):
            n: dict[str,int] = option(factory=dict)
        E(n={"a":"b"})
        """,
    ),
    "dict keys": (
        "RK003",
        "option 'n' must be dict[str, int], and has an item that is int",
        """
        @attrs.frozen(kw_only=True)
        class E(Extension):
            n: dict[str,int] = option(factory=dict)
        E(n={1:1})
        """,
    ),
    "frozenset items": (
        "RK003",
        "option 'n' must be frozenset[str], and has an item that is int",
        """
        @attrs.frozen(kw_only=True)
        class E(Extension):
            n: frozenset[str] = option(default=frozenset())
        E(n=frozenset({1}))
        """,
    ),
    "type[X]": (
        "RK003",
        "option 'n' must be type[Entity], is the class int",
        """
        @attrs.frozen(kw_only=True)
        class E(Extension):
            n: type[Entity] = option()
        E(n=int)
        """,
    ),
    "type[X] instance": (
        "RK003",
        "option 'n' must be type[Entity], is int",
        """
        @attrs.frozen(kw_only=True)
        class E(Extension):
            n: type[Entity] = option()
        E(n=5)
        """,
    ),
    "nested list[tuple[str,int]]": (
        "RK003",
        "option 'n' must be list[tuple[str, int]], and has an item that is tuple",
        """
        @attrs.frozen(kw_only=True)
        class E(Extension):
            n: list[tuple[str,int]] = option(factory=list)
        E(n=[("a","b")])
        """,
    ),
    "Annotated option": (
        "RK003",
        "option 'n' must be int, is str",
        """
        from typing import Annotated
        @attrs.frozen(kw_only=True)
        class E(Extension):
            n: Annotated[int,"x"] = option(default=1)
        E(n="5")
        """,
    ),
    "Optional list items": (
        "RK003",
        "option 'n' must be list[int] or None, and has an item that is str",
        """
        @attrs.frozen(kw_only=True)
        class E(Extension):
            n: list[int] | None = option(default=None)
        E(n=["5"])
        """,
    ),
    "NewType option": (
        "RK003",
        "option 'n' must be UserId, is str",
        """
        from typing import NewType
        UserId = NewType("UserId", int)
        @attrs.frozen(kw_only=True)
        class E(Extension):
            n: UserId = option(default=UserId(1))
        E(n="5")
        """,
    ),
    "TypedDict option": (
        "RK003",
        "option 'n' must be TD, is int",
        """
        from typing import TypedDict
        class TD(TypedDict):
            a: int
        @attrs.frozen(kw_only=True)
        class E(Extension):
            n: TD = option(factory=dict)
        E(n=5)
        """,
    ),
    "wrong factory result": (
        "RK003",
        "option 'n' must be int, is list",
        """
        @attrs.frozen(kw_only=True)
        class E(Extension):
            n: int = option(factory=list)
        E()
        """,
    ),
    "factory raises": (
        "RK015",
        "E cannot be made: KeyError: 'x'",
        """
        @attrs.frozen(kw_only=True)
        class E(Extension):
            n: int = option(factory=lambda: {}["x"])
        E()
        """,
    ),
    "factory needs args": (
        "RK015",
        "E cannot be made: TypeError",
        """
        @attrs.frozen(kw_only=True)
        class E(Extension):
            n: int = option(factory=lambda a: 5)
        E()
        """,
    ),
    "plain default without option wrong": (
        "RK015",
        "the default of the option 'n' must be int, is str",
        """
        @attrs.frozen(kw_only=True)
        class E(Extension):
            n: int = "x"
        """,
    ),
    "mutable plain default": (
        "RK015",
        "the default of the option 'n' would be one object for all users",
        """
        @attrs.frozen(kw_only=True)
        class E(Extension):
            n: list[int] = []
        """,
    ),
    "missing annotation": (
        "RK015",
        "the option 'n' has no type, so that its values cannot be checked",
        """
        @attrs.frozen(kw_only=True)
        class E(Extension):
            n = option(default=1)
        E(n=5)
        """,
    ),
    "dataclass instead of attrs": (
        "RK015",
        "E has the option 'n', and is no attrs class",
        """
        import dataclasses
        @dataclasses.dataclass(frozen=True)
        class E(Extension):
            n: int = 5
        res(E(n=3))
        """,
    ),
    "own __init__ without super": (
        "RK015",
        "E cannot be made: FrozenInstanceError",
        """
        class E(Extension):
            def __init__(self, n): self.n = n
        res(E(5))
        """,
    ),
    "own __init__ frozen": (
        "RK015",
        "E has an __init__ of its own, which does not set 'n'",
        """
        @attrs.frozen(kw_only=True)
        class E(Extension):
            n: int = option(default=1)
            def __init__(self, n=1): pass
        res(E(n=2))
        """,
    ),
    "own __attrs_post_init__ without super": (
        "RK015",
        "E has an __attrs_post_init__ that does not call that of its base",
        """
        @attrs.frozen(kw_only=True)
        class E(Extension):
            n: int = option(default=1)
            def __attrs_post_init__(self): pass
        E(n="x")
        """,
    ),
    "check returns bool": (
        "RK015",
        "the check of the option 'n' returned True",
        """
        @attrs.frozen(kw_only=True)
        class E(Extension):
            n: int = option(default=1, check=lambda v: v > 0)
        E(n=5)
        """,
    ),
    "check raises": (
        "RK015",
        "the check of the option 'n' raised KeyError: 1",
        """
        @attrs.frozen(kw_only=True)
        class E(Extension):
            n: int = option(default=1, check=lambda v: {}[v])
        E(n=5)
        """,
    ),
    "check async": (
        "RK015",
        "the check of the option 'n' returned <coroutine object",
        """
        async def chk(v): return None
        @attrs.frozen(kw_only=True)
        class E(Extension):
            n: int = option(default=1, check=chk)
        E(n=5)
        """,
    ),
    "check without parameter": (
        "RK015",
        "the check of the option 'n' raised TypeError: E.<lambda>() takes 0 positional arguments but 1 was given",
        """
        @attrs.frozen(kw_only=True)
        class E(Extension):
            n: int = option(default=1, check=lambda: None)
        E(n=5)
        """,
    ),
    "forward ref unresolvable": (
        "RK015",
        "the types of the options of E cannot be read: NameError: name 'Nowhere' is not defined",
        """
        @attrs.frozen(kw_only=True)
        class E(Extension):
            n: "Nowhere" = option(default=1)
        E(n=5)
        """,
    ),
    "option named origin": (
        "RK015",
        "an option cannot be named 'origin'",
        """
        @attrs.frozen(kw_only=True)
        class E(Extension):
            origin: str = option(default="x")
        E(origin="y")
        """,
    ),
    "option named of": (
        "RK015",
        "an option cannot be named 'of'",
        """
        @attrs.frozen(kw_only=True)
        class E(Extension):
            of: str = option(default="x")
        R=res(E)
        E.of(R)
        """,
    ),
    "entity no frozen": (
        "RK015",
        "Shelf has the option 'n', and is no attrs class",
        """
        class Shelf(Entity):
            section: ClassVar[str] = "shelves"
            n: int = 1
        E=ext(entities=(Shelf,))
        Shelf(n=5)
        """,
    ),
    "word init w/o super": (
        "RK015",
        "the W 'shelf' holds no entity",
        """
        class W(Word):
            def __init__(self): pass
        @attrs.frozen(kw_only=True, eq=False)
        class Shelf(Entity):
            section: ClassVar[str] = "shelves"
        E=ext(entities=(Shelf,))
        R=res(E, shelf=W())
        """,
    ),
    "word with non-entity": (
        "RK015",
        "the Word 'shelf' holds no entity",
        """
        @attrs.frozen(kw_only=True, eq=False)
        class Shelf(Entity):
            section: ClassVar[str] = "shelves"
        E=ext(entities=(Shelf,))
        R=res(E, shelf=Word(5))
        """,
    ),
    "entity declared raises": (
        "RK015",
        "Shelf.declared raised KeyError: 'shelf'",
        """
        @attrs.frozen(kw_only=True, eq=False)
        class Shelf(Entity):
            section: ClassVar[str] = "shelves"
            def declared(self, name, annotation, scope): raise KeyError(name)
        E=ext(entities=(Shelf,))
        R=res(E, shelf=lambda: Shelf())
        """,
    ),
    "entity declared returns None": (
        "RK015",
        "Shelf.declared must return the entity, not NoneType",
        """
        @attrs.frozen(kw_only=True, eq=False)
        class Shelf(Entity):
            section: ClassVar[str] = "shelves"
            def declared(self, name, annotation, scope): pass
        E=ext(entities=(Shelf,))
        R=res(E, shelf=lambda: Shelf())
        """,
    ),
    "entity origin none": (
        "RK015",
        "the origin of Shelf must be an Origin, is None",
        """
        @attrs.frozen(kw_only=True, eq=False)
        class Shelf(Entity):
            section: ClassVar[str] = "shelves"
        E=ext(entities=(Shelf,))
        R=res(E, shelf=lambda: Shelf(origin=None))
        """,
    ),
    "template not abstract": (
        "RK015",
        "template must be an abstract resource, is ",
        """
        class P(Template, data_layer=Memory()):
            id: Attr[int] = attribute(primary_key=True)
        E=ext(template=P)
        """,
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_options_or_entities_is_told_with_its_code(mistake: str) -> None:
    """The error has a code of resourcekit, and its text names the option and what is wrong."""
    code, text, source = MISTAKES[mistake]

    error = refusal(source)

    assert code == getattr(error, "code", type(error).__name__)
    assert text in str(error)
