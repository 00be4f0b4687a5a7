"""Lines of a class body that would be ignored, repeat a name, or hold a factory or a function that cannot be called."""

from __future__ import annotations

import sys
import textwrap
import types

import pytest

from resourcekit.errors import DeclarationError

BODY = """
import re
from typing import ClassVar, Final
from resourcekit import *
from resourcekit.data_layers import Memory

class Note(Resource, domain=Domain("notes"), data_layer=Memory()):
    id: Attr[int] = attribute(primary_key=True)
    number: Attr[int] = attribute(default=0)
    text: Attr[str] = attribute(default="")
"""

MISTAKES = [
    ("stars: int", "RK021", "'stars' is annotated as int", "Write stars: Attr[int]"),
    ("stars: int = 4", "RK021", "no record would have it", "ClassVar[int] for a constant"),
    ("stars: Attr", "RK021", "as Attr without a type", "Write stars: Attr[str]"),
    ("stars: Attr[int] = 5", "RK021", "has the value 5, which declares nothing", "attribute(default=5)"),
    ("stars: Attr[int | None] = None", "RK021", "has the value None", "attribute(default=None)"),
    ("stars: Attr[int] | None = None", "RK021", "no record would have it", "ClassVar"),
    ("add: Attr[int] = create(accept=['id'])", "RK021", "is annotated as Attr and is a CreateAction", "annotation away"),
    ("stars: Attr[int] = attribute", "RK021", "is the builder attribute itself", "Write stars = attribute(...)"),
    ("add = create", "RK021", "is the builder create itself", "Write add = create(...)"),
    ("by_text = identity", "RK021", "is the builder identity itself", "Write by_text = identity(...)"),
    ("go = action", "RK021", "is the builder action itself", "Write go = action(...)"),
    ("def __init__(self, **given): ...", "RK021", "__init__ would not run", "default_factory"),
    ("def __post_init__(self): ...", "RK021", "__post_init__ would not run", "default_factory"),
    ("def __setattr__(self, name, value): ...", "RK021", "__setattr__ would not run", "update action"),
    ("__slots__ = ('x',)", "RK021", "__slots__ means nothing", "Leave it out"),
    ("class Meta:\n    table = 'x'", "RK021", "Meta means nothing", "SQL(..., table='...')"),
    ("model_config = {}", "RK021", "model_config means nothing", "class statement"),
    ("__tablename__ = 'x'", "RK021", "__tablename__ means nothing", "SQL(..., table='...')"),
    ("def add(self): ...\nadd = create(accept=['id'])", "RK010", "'add' is declared twice", "Rename"),
    ("add = create(accept=['id', 'id'])", "RK043", "accepts 'id' twice", "once"),
    ("by_text = identity('text', 'text')", "RK042", "names 'text' twice", "once"),
    ("by_text = identity(['text'])", "RK042", "names ['text'], which is no name", "identity('subject')"),
    ("quick = index('text', 'text')", "RK042", "names 'text' twice", "once"),
    ("add = create(arguments=[argument('a', int), argument('a', str)])", "RK044", "has two arguments 'a'", "Rename"),
    ("add = create(arguments=['a'])", "RK003", "has an item that is str", 'argument("name", str)'),
    ("add = create(arguments=[argument('a b', int)])", "RK033", "the name of an argument is 'a b'", "Write a name"),
    ("add = create(arguments=[argument('a')])", "RK003", "missing a required argument: 'annotation'", "Its parameters are"),
    ("stars: Attr[int] = attribute(5)", "RK003", "too many positional arguments", "Its parameters are"),
    ("other: One[Note | None] = belongs_to()", "RK003", "missing a required argument: 'key'", "Its parameters are: key"),
    ("notes: Many[Note] = has_many()", "RK003", "missing a required argument: 'key'", "Its parameters are: key"),
    ("notes: Many[Note] = many_to_many()", "RK003", "missing a required argument: 'through'", "Its parameters are"),
    ("edit = update(changes=[set_attribute('number')])", "RK003", "missing a required argument: 'value'", "name, value"),
    ("edit = update(changes=[set_attribute('id', 4)])", "RK048", "writes 'id', a part of the primary key", "Destroy"),
    ("edit = update(validations=[present('text', least=1)])", "RK002", "present has no option 'least'", ""),
    ("edit = update(validations=[present()])", "RK003", "names no attribute", 'present("subject")'),
    ("edit = update(validations=[absent(5)])", "RK003", "takes names of attributes, not (5,)", 'absent("subject")'),
    ("edit = update(validations=[compare('number', '=>', 1)])", "RK003", "'=>' is no comparison", "Known: ==, !=, <"),
    ("edit = update(validations=[compare('number', '>', 'x')])", "RK034", "in its validation", "the attribute's type"),
    ("edit = update(validations=[one_of('text', 'abc')])", "RK003", "must be several values, not 'abc'", "one_of("),
    ("edit = update(validations=[one_of('text', [])])", "RK003", "must be several values, not []", "one_of("),
    ("edit = update(validations=[one_of('number', ['a'])])", "RK034", "in its validation", "the attribute's type"),
    ("edit = update(validations=[match('number', 'x')])", "RK035", "tests 'number' as a text", "compare(...)"),
    ("edit = update(validations=[string_length('number', min=1)])", "RK035", "tests 'number' as a text", "compare(...)"),
    ("edit = update(validations=[string_length('text')])", "RK003", "no text can meet min=None and max=None", "whole"),
    ("edit = update(validations=[string_length('text', min=5, max=1)])", "RK003", "min=5 and max=1", "min below max"),
    ("some = read(preparations=[sort()])", "RK003", "sort names no attribute", "sort("),
    ("stars: Attr[int] = attribute(default_factory=lambda x: x)", "RK034", "cannot be called without arguments", "none"),
    ("async def one():\n    return 1\nstars: Attr[int] = attribute(default_factory=one)", "RK034", "is async", "plain"),
    ("stars: Attr[int] = attribute(default=0, update_default_factory=lambda a: 1)", "RK034", "without arguments", "none"),
    ("key: Attr[int] = attribute(primary_key=True, update_default_factory=int)", "RK048", "at each update", "away"),
    ("stars: Attr[int] = attribute(default=0, column='number')", "RK034", "which is that of 'number'", "another column"),
    ("stars: Attr[int] = attribute(default=0, column='')", "RK034", "has an empty column name", "Name the column"),
    ("name: Attr[str] = attribute(min_length=-1)", "RK034", "min_length=-1 is no length", "from 0 on"),
    ("edit = update(arguments=[argument('n', str, max_length=-1)])", "RK034", "max_length=-1 is no length", "from 0 on"),
    ("@update\n@staticmethod\ndef edit(): ...", "RK033", "takes no changeset", "(changeset, ...)"),
    ("@read\n@staticmethod\ndef some(): ...", "RK033", "takes no query", "(query, ...)"),
]
"""A line of the body, the code, the text of the error, and the cure."""


def declared(lines: str) -> types.ModuleType:
    """Return a module with the class Note, which has these lines."""
    module = types.ModuleType("ignored_lines")
    sys.modules[module.__name__] = module
    source = "from __future__ import annotations\n" + BODY + textwrap.indent(lines, "    ") + "\n"
    exec(compile(source, "ignored_lines.py", "exec"), module.__dict__)  # the source is written above
    return module


@pytest.mark.parametrize(("lines", "code", "text", "cure"), MISTAKES, ids=[line for line, *_ in MISTAKES])
def test_a_line_that_would_be_ignored_or_cannot_run_is_refused(lines: str, code: str, text: str, cure: str) -> None:
    """The error has a code, names what is wrong, and gives the next step."""
    with pytest.raises(DeclarationError) as caught:
        declared(lines)

    assert code == caught.value.code
    assert text in caught.value.what
    assert cure in caught.value.hint
    assert "ignored_lines.py" in caught.value.origin


@pytest.mark.parametrize(
    "lines",
    [
        "LIMIT = 4",
        "LIMIT: ClassVar[int] = 4",
        "LIMIT: Final = 4",
        "_cache: dict[str, int] = {}",
        "stars: Attr[int]",
        "def save(self): ...",
        "def __repr__(self): return 'note'",
        "def go() -> int: return 1\ngo = action(go)",
        "quick = index('text', 'number', where=number > 1)",
        "add = create(accept=['id'], arguments=[argument('from', str)])",
        "edit = update(accept=['text'], validations=[compare('number', '>', 1), one_of('text', ['a']), present('text')])",
        "edit = update(arguments=[argument('n', str)], validations=[string_length('n', max=5), one_of('n', {'a'})])",
    ],
)
def test_lines_of_one_s_own_are_no_mistake(lines: str) -> None:
    """Constants, private names, methods and what the builders allow are the author's."""
    assert "Note" == declared(lines).Note.__name__
