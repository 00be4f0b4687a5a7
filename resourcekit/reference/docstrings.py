"""Parses docstrings: the general text, the texts of names, and their Markdown.

The text of an option or a parameter is written as ``name: text``, at the beginning of a line or of a sentence.
"""

from __future__ import annotations

import ast
import inspect
import itertools
import re
import textwrap
from collections.abc import Collection, Mapping

__all__ = ["first_sentence", "markdown", "parse_docstring", "texts_below"]

_OWN_SENTENCE = re.compile(r"(?<=\.)\n(?=[^\s`(])|(?<=\.)\s(?=Raises )")
"""The end of a name's text inside a paragraph: a sentence on a line of its own, or "Raises"."""


def parse_docstring(doc: str | None, names: Collection[str]) -> tuple[str, Mapping[str, str]]:
    """Split a docstring into the general text and the texts of these names.

    Several names may share a text: ``engine, async_engine: yours``. A text ends with its paragraph, or at the text of another
    name.
    """
    prose: list[str] = []
    texts: dict[str, str] = {}
    known = "|".join(sorted(map(re.escape, names), key=len, reverse=True)) or "(?!)"
    begin = re.compile(rf"(?:^|(?<=[.;] ))(?P<names>(?:(?:{known}),? (?:and )?)*(?:{known})): ", re.MULTILINE)
    for paragraph in inspect.cleandoc(doc or "").split("\n\n"):
        found = list(begin.finditer(paragraph))
        rest = [paragraph[: found[0].start()] if found else paragraph]
        for match, end in zip(found, [*(later.start() for later in found[1:]), len(paragraph)], strict=False):
            text, *own = _OWN_SENTENCE.split(paragraph[match.end() : end], maxsplit=1)
            rest += own
            plain = " ".join(text.split()).rstrip(";")
            texts.update(dict.fromkeys(re.findall(r"\w+", match["names"].replace(" and ", " ")), plain))
        prose.append("\n".join(part.strip("\n") for part in rest if part.strip()))
    return "\n\n".join(part for part in prose if part), texts


def markdown(text: str | None) -> str:
    """Return a docstring as Markdown: code in single backticks, literal blocks fenced, lines joined to paragraphs and items."""
    done: list[str] = []
    literal: list[str] | None = None  # the paragraphs of an open literal block
    for paragraph in [*inspect.cleandoc(text or "").split("\n\n"), ""]:
        if literal is not None and paragraph.startswith(" "):
            literal.append(paragraph)
            continue
        if literal:
            done.append("```text\n" + textwrap.dedent("\n\n".join(literal)) + "\n```")
        literal = [] if paragraph.endswith("::") else None
        plain = re.sub(r"\s*\n(?!\* )\s*", " ", paragraph.removesuffix("::").rstrip()).replace("``", "`")
        if plain:
            done.append(f"{plain}:" if literal is not None else plain)
    return "\n\n".join(done)


def first_sentence(doc: str | None) -> str:
    """Return the first sentence of a docstring as one line of Markdown."""
    first = markdown(doc).partition("\n\n")[0]
    sentence = re.match(r".*?[.](?=\s+[A-Z`(]|$)", first)
    return sentence[0] if sentence else first


def texts_below(source: str) -> dict[str, str]:
    """Return the docstrings below assignments, by the assigned name; for a class, those of its members.

    source: of a module, or of one class.
    """
    body = ast.parse(source).body
    if len(body) == 1 and isinstance(body[0], ast.ClassDef):
        body = body[0].body
    texts: dict[str, str] = {}
    for statement, below in itertools.pairwise(body):
        target = statement.targets[0] if isinstance(statement, ast.Assign) else getattr(statement, "target", None)
        if isinstance(target, ast.Name) and isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            texts[target.id] = str(below.value.value)
    return texts
