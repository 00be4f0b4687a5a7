from __future__ import annotations

import enum
from datetime import timedelta

import attrs
import pytest

from resourcekit.dsl.extension import Extension
from resourcekit.dsl.option import option
from resourcekit.reference.docstrings import first_sentence, markdown, parse_docstring, texts_below
from resourcekit.reference.sections import Item, class_section, enum_table, function_section, items_of, shown, table


@pytest.mark.parametrize(
    ("doc", "prose", "texts"),
    [
        ("Only prose: no name.", "Only prose: no name.", {}),
        (
            "What.\n\n    size: in bytes.\n    pace: time\n        between two.",
            "What.",
            {"size": "in bytes.", "pace": "time between two."},
        ),
        ("What.\n\n    size: in bytes. pace: between two.", "What.", {"size": "in bytes.", "pace": "between two."}),
        ("What.\n\n    size: in bytes; pace: between two.", "What.", {"size": "in bytes", "pace": "between two."}),
        ("What.\n\n    size, pace: as before.", "What.", {"size": "as before.", "pace": "as before."}),
        ("What.\n\n    size and pace: as before.", "What.", {"size": "as before.", "pace": "as before."}),
        ("What.\n\n    size: in bytes. Raises ValueError.", "What.\n\nRaises ValueError.", {"size": "in bytes."}),
        ("What.\n\n    size: in bytes.\n    Safe to repeat.", "What.\n\nSafe to repeat.", {"size": "in bytes."}),
        ("What. size: in bytes.", "What. ", {"size": "in bytes."}),
        (None, "", {}),
    ],
)
def test_a_docstring_is_parted_into_prose_and_names(doc, prose, texts):
    """The text of a known name is split from the general text, however the lines are broken."""
    assert (prose, texts) == parse_docstring(doc, ("size", "pace"))


@pytest.mark.parametrize(
    ("doc", "text"),
    [
        ("Sets ``now()``\n    and goes.", "Sets `now()` and goes."),
        ("One.\n\n    Two.", "One.\n\nTwo."),
        ("One:\n\n    * this\n    * that\n      as well", "One:\n\n* this\n* that as well"),
        ("So::\n\n        with x:\n            y\n\n        z\n\n    Then.", "So:\n\n```text\nwith x:\n    y\n\nz\n```\n\nThen."),
        ("Tree.\n\n    ::\n\n        a\n          b\n", "Tree.\n\n```text\na\n  b\n```"),
        (None, ""),
    ],
)
def test_a_docstring_becomes_markdown(doc, text):
    """Code is put in backticks, literal blocks in fences, and lines are joined to paragraphs."""
    assert text == markdown(doc)


@pytest.mark.parametrize(
    ("doc", "sentence"),
    [
        ("Find rows. ``fields``: wanted.", "Find rows."),
        ("Reads e.g. this one, and\n    ends. Then more.", "Reads e.g. this one, and ends."),
        ("Without a full stop", "Without a full stop"),
        ("At version 2.0 it\n    changed.\n\n    More.", "At version 2.0 it changed."),
    ],
)
def test_the_first_sentence_of_a_docstring(doc, sentence):
    """The first sentence ends at a full stop that another one follows, and is one line."""
    assert sentence == first_sentence(doc)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (timedelta(0), "timedelta(0)"),
        (timedelta(hours=12), "timedelta(hours=12)"),
        (timedelta(days=1), "timedelta(days=1)"),
        (timedelta(seconds=90), "timedelta(seconds=90)"),
        (timedelta(milliseconds=50), "timedelta(milliseconds=50)"),
        ("user", '"user"'),
        (None, "None"),
        (dict, "dict"),
        (..., "..."),
    ],
)
def test_a_default_reads_as_a_caller_would_write_it(value, text):
    """Durations are shown in the largest unit that fits, texts in double quotes."""
    assert text == shown(value)


def test_texts_below_assignments_are_found():
    """A text below an assignment belongs to the assigned name, in a module and in a class."""
    assert {"A": "What A is."} == texts_below('A: int = 1\n"""What A is."""\nB = 2\n')
    assert {"A": "What A is."} == texts_below('class C:\n    """What C is."""\n    A = 1\n    """What A is."""\n')


@attrs.frozen(kw_only=True)
class Sample(Extension):
    """An extension of these tests.

    told_above: in the docstring.
    """

    told_here: int | None = option(default=None, doc="A number | none.")
    told_above: timedelta = option(default=timedelta(hours=1))
    made: list[str] = option(factory=list)
    must: str = option()


def test_options_become_items():
    """Name, type, default and meaning come from the declaration, or from the docstring of the class."""
    expected = [
        Item(name="told_here", type="int | None", default="None", doc="A number | none."),
        Item(name="told_above", type="timedelta", default="timedelta(hours=1)", doc="in the docstring."),
        Item(name="made", type="list[str]", default="list()"),
        Item(name="must", type="str"),
    ]

    assert expected == list(items_of(Sample))


def test_a_table_escapes_bars_and_leaves_empty_columns_out():
    """A bar in a type does not break the row, a required value is marked, and an empty column is left out."""
    expected = """\
| option | type | default | meaning |
| --- | --- | --- | --- |
| `told_here` | `int \\| None` | `None` | A number \\| none. |
| `must` | `str` | *required* |  |"""

    assert expected == table([items_of(Sample)[0], items_of(Sample)[3]], called="option")
    assert "| name |\n| --- |\n| `x` |" == table([Item(name="x")])
    assert "" == table([])


def _sweep(resource: object, *rows: int, pace: timedelta = timedelta(0), **more: str) -> int:
    """Sweep ``rows``.

    pace: between two. more: passed on.
    """
    raise NotImplementedError


def test_a_function_is_shown_as_it_is_called():
    """The signature leaves out what the caller does not give, and the parameters that have a text become a list."""
    expected = """\
### sweep

```py
Token.sweep(*rows: int, pace: timedelta = timedelta(0), **more: str) -> Token
```

Sweep `rows`.

- `pace`: between two.
- `more`: passed on."""

    assert expected == function_section("sweep", _sweep, called="Token.sweep", without=("resource",), returns="Token")


class _Box:
    """Holds things.

    size: how many.
    """

    def __init__(self, size: int = 3, *, label: str = "") -> None:
        raise NotImplementedError

    @property
    def is_full(self) -> bool:
        """Nothing more goes in."""
        raise NotImplementedError

    def put(self, thing: object) -> None:
        """Put a thing in."""

    @classmethod
    def of(cls, *things: object) -> None:
        """Make a box around things."""

    def _hidden(self) -> None:
        """A field that is not public."""


def test_a_class_is_shown_with_its_public_members():
    """How it is made, what its parameters mean, its properties as a table, its methods as sections; nothing private."""
    expected = """\
## _Box

```py
_Box(size: int = 3, *, label: str = "")
```

Holds things.

- `size`: how many.

| property | type | meaning |
| --- | --- | --- |
| `is_full` | `bool` | Nothing more goes in. |

### _Box.put

```py
put(thing: object) -> None
```

Put a thing in.

### _Box.of

```py
of(*things: object) -> None
```

Make a box around things."""

    assert expected == class_section(_Box, called="_Box")


class Fruit(enum.Enum):
    APPLE = 1
    """Grows on trees."""

    MELON = 2


def test_an_enum_is_a_table_of_its_members():
    """Each member has its text below it."""
    assert ["| `APPLE` | Grows on trees. |", "| `MELON` |  |"] == enum_table(Fruit).splitlines()[2:]
