"""Reads pages of documentation and runs what they show. It knows Markdown, and nothing of resourcekit.

What a page may show, and how a reader sees what is run:

* ``python`` blocks run in order, in one module a page, in an empty folder. A block whose first line is ``# name.py`` is
  kept as that file instead, further blocks of the same file are put below it, and other blocks import it; a file that
  no block imports is imported at the end; ``test_*.py`` is handed to pytest, unless a ``console`` block does that;
  ``conftest.py`` and ``env.py`` are left to pytest and Alembic.
* ``expression    # -> value`` is checked: the line's ``repr`` must read like that; ``...`` matches anything.
* ``statement    # raises Error: text`` is checked on the statement's first or last line: it must raise that error.
* ``console`` blocks: each ``$ command`` is run in the same folder, and the lines below it must be what it prints.
  ``...`` matches anything there too. ``# exit code 1`` behind a command is the exit code it must have.
* ``sh``, ``toml``, ``text`` and the like are shown only.

Run as a program, ``snippets.py PAGE`` does one page in the current folder: a fresh process is a fresh Python.
"""

from __future__ import annotations

import ast
import asyncio
import importlib
import importlib.util
import inspect
import linecache
import os
import re
import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(r"^(?P<indent> {0,3})(?P<fence>`{3,}|~{3,})\s*(?P<language>[\w+-]*)")
_FILE = re.compile(r"^#\s+(?P<name>[\w./-]+\.(?:py|toml|ini))\s*$")
_SHOWS = re.compile(r"#\s+(?P<verb>->|raises)\s+(?P<text>.+?)\s*$")
_EXIT = re.compile(r"\s+#\s+exit code (?P<code>\d+)\s*$")


@dataclass
class Block:
    """One fenced block. line: of its first line of text in the page, counted from 1."""

    language: str
    line: int
    text: str


@dataclass
class Page:
    """One page, taken apart."""

    path: Path
    blocks: list[Block] = field(default_factory=list)
    prose: list[tuple[int, str]] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The page's path from the root of the project."""
        return self.path.relative_to(ROOT).as_posix() if self.path.is_relative_to(ROOT) else self.path.name


def pages() -> list[Path]:
    """Return every page of the project: the README files and all below docs."""
    globs = ("README.md", "docs/**/*.md", "extensions/*/README.md", "examples/*.md", "examples/*/README.md")
    return sorted(path for glob in globs for path in ROOT.glob(glob))


def read_page(path: Path) -> Page:
    """Take a page apart into blocks and prose."""
    page, fence, block = Page(path), "", Block("", 0, "")
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        found = _FENCE.match(line)
        if fence:
            if found and found["fence"].startswith(fence) and not line.strip().strip("`~"):
                page.blocks.append(block)
                fence = ""
            else:
                block.text += line + "\n"
        elif found:
            fence, block = found["fence"], Block(found["language"], number + 1, "")
        else:
            page.prose.append((number, line))
    if fence:
        msg = f"{page.name}:{block.line - 1}: the block is not closed"
        raise ValueError(msg)
    return page


def runs(page: Page) -> bool:
    """Return whether a page shows anything that is run."""
    return any(block.language in ("python", "console") for block in page.blocks)


# Running a page ---------------------------------------------------------------------------------------------------


class Difference(AssertionError):
    """A page says something else than what happens."""


def run_page(path: Path) -> None:
    """Run everything that a page shows, in the current folder."""
    page, files = read_page(path), {}
    name = re.sub(r"\W", "_", path.stem)
    # A page that is named after a package does not hide it.
    module = types.ModuleType(name if importlib.util.find_spec(name) is None else f"{name}_page")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module
    sys.path.insert(0, str(Path.cwd()))
    vars(module).update(_shown=_shown, _raises=_raises)
    for block in page.blocks:
        name = _FILE.match(block.text.partition("\n")[0]) if block.language in ("python", "toml", "ini") else None
        if name is not None:
            _keep(page, block, name["name"], files)
        elif block.language == "python":
            _run(page, block, module)
        elif block.language == "console":
            _type(page, block)
    typed = "".join(block.text for block in page.blocks if block.language == "console")
    tests = [name for name in files if Path(name).name.startswith("test_")]
    left = [name for name in tests if name not in typed]
    if left:
        _command(f"pytest -q {' '.join(left)}", 0, f"{page.name}: {', '.join(left)}")
    for name in files:
        if name.endswith(".py") and name not in tests and Path(name).stem not in ("conftest", "env"):
            importlib.import_module(_module_of(name))


def _module_of(name: str) -> str:
    return ".".join(Path(name).with_suffix("").parts).removesuffix(".__init__")


def _keep(page: Page, block: Block, name: str, files: dict[str, int]) -> None:
    """Keep a block as a file, its lines where the page has them so that tracebacks and origins can be followed."""
    if _module_of(name) in sys.modules:
        msg = f"{page.name}:{block.line}: {name} was imported before this part of it was shown"
        raise Difference(msg)
    file = Path(name)
    file.parent.mkdir(parents=True, exist_ok=True)
    before = file.read_text(encoding="utf-8") + "\n\n" if name in files else ""
    text = block.text
    if any(map(_SHOWS.search, text.splitlines())):
        msg = f"{page.name}:{block.line}: claims are checked in plain blocks, not in files; write an assert"
        raise Difference(msg)
    if before and "from __future__" in text:
        text = re.sub(r"^from __future__.*\n", "", text, flags=re.MULTILINE)
    file.write_text(before + text, encoding="utf-8")
    files[name] = block.line
    importlib.invalidate_caches()


def _run(page: Page, block: Block, module: types.ModuleType) -> None:
    """Run a block as a part of the page's module; tracebacks show the page's own lines."""
    tree = ast.increment_lineno(_checked(page, block), block.line - 1)
    linecache.checkcache(str(page.path))
    code = compile(tree, str(page.path), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    if code.co_flags & inspect.CO_COROUTINE:
        asyncio.run(eval(code, vars(module)))  # our own pages
    else:
        exec(code, vars(module))  # our own pages


def _checked(page: Page, block: Block) -> ast.Module:
    """Turn what the comments claim into calls that check it."""
    tree, lines = ast.parse(block.text), block.text.splitlines()
    claims = {number: found for number, line in enumerate(lines, 1) if (found := _SHOWS.search(line))}
    claims_by_place = {
        number: (found["verb"], found["text"], f"{page.name}:{block.line + number - 1}") for number, found in claims.items()
    }
    tree.body = _check(tree.body, claims_by_place)
    if claims_by_place:
        _, _, place = next(iter(claims_by_place.values()))
        msg = f"{place}: a claim must follow a whole statement"
        raise Difference(msg)
    return ast.fix_missing_locations(tree)


def _check(body: list[ast.stmt], claims: dict[int, tuple[str, str, str]]) -> list[ast.stmt]:
    """Check the claims behind these statements, and those inside of with, for, if and try; each once."""
    checked: list[ast.stmt] = []
    for statement in body:
        claim = claims.pop(statement.lineno, None)
        if not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            for part in ("body", "orelse", "finalbody"):
                if inner := getattr(statement, part, None):
                    setattr(statement, part, _check(inner, claims))
        claim = claim or claims.pop(statement.end_lineno or 0, None)
        checked.append(statement if claim is None else _claim(statement, *claim))
    return checked


def _claim(statement: ast.stmt, verb: str, text: str, place: str) -> ast.stmt:
    said = [ast.Constant(text), ast.Constant(place)]
    if verb == "raises":
        guard = ast.Call(ast.Name("_raises", ast.Load()), said, [])
        return ast.copy_location(ast.With([ast.withitem(guard)], [statement]), statement)
    if not isinstance(statement, ast.Expr):
        msg = f"{place}: only an expression has a value to show"
        raise Difference(msg)
    shown = ast.Call(ast.Name("_shown", ast.Load()), [statement.value, *said], [])
    return ast.copy_location(ast.Expr(shown), statement)


def _shown(value: object, text: str, place: str) -> None:
    _compare(text, repr(value), place)


class _raises:  # noqa: N801  # read as a word: with _raises(...)
    """Expect an error whose type, or type and text, read as the page says."""

    def __init__(self, text: str, place: str) -> None:
        self._text, self._place = text, place

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        """Compare what came."""
        if error is None:
            msg = f"{self._place}: nothing was raised, the page says {self._text}"
            raise Difference(msg)
        text = str(error)
        name = type(error).__name__
        shown = text if text.startswith(name) else f"{name}: {text}"
        _compare(self._text if ":" in self._text or "·" in self._text else f"{self._text}...", shown, self._place)
        return True


def _compare(said: str, came: str, place: str) -> None:
    """Compare two texts, blanks at the ends of lines apart; ``...`` in the first matches anything."""
    wanted = ".*?".join(re.escape(part) for part in said.strip().split("..."))
    tidy = "\n".join(line.rstrip() for line in came.strip().splitlines())
    if not re.fullmatch(wanted, tidy, flags=re.DOTALL):
        msg = f"{place}: the page says\n{said}\nand it is\n{tidy}"
        raise Difference(msg)


def _type(page: Page, block: Block) -> None:
    """Run the commands of a console block, and compare what they print."""
    for number, command, said in _commands(block):
        found = _EXIT.search(command)
        code = int(found["code"]) if found else 0
        came = _command(_EXIT.sub("", command), code, f"{page.name}:{number}")
        if said:
            _compare("\n".join(said), came, f"{page.name}:{number}")


def _commands(block: Block) -> Iterator[tuple[int, str, list[str]]]:
    number, command, said = 0, "", list[str]()
    for offset, line in enumerate(block.text.splitlines()):
        if line.startswith("$ "):
            if command:
                yield number, command, said
            number, command, said = block.line + offset, line.removeprefix("$ "), []
        else:
            said.append(line.rstrip())
    if command:
        yield number, command, said


def _command(command: str, code: int, place: str) -> str:
    """Run a shell command with this Python's commands first in the path, and return what it prints."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    environment = {
        **os.environ,
        "PATH": path,
        "PYTHONPATH": os.pathsep.join([str(Path.cwd()), os.environ.get("PYTHONPATH", "")]),
        "COLUMNS": "120",
    }
    done = subprocess.run(
        command, shell=True, check=False, capture_output=True, text=True, env=environment, timeout=120
    )  # our own pages
    came = done.stdout + done.stderr
    if done.returncode != code:
        msg = f"{place}: {command!r} ended with {done.returncode}, not {code}:\n{came}"
        raise Difference(msg)
    return came


# Links ------------------------------------------------------------------------------------------------------------

_LINK = re.compile(r"(?<!!)\[[^\]]*\]\((?P<target>[^)\s]+)(?:\s+\"[^\"]*\")?\)|^\[[^\]]+\]:\s+(?P<reference>\S+)")
_CODE = re.compile(r"`+[^`]*`+")


def links(page: Page) -> Iterator[tuple[int, str]]:
    """Yield the relative links of a page, each with its line."""
    for number, line in page.prose:
        for found in _LINK.finditer(_CODE.sub(lambda code: "`" * len(code[0]), line)):
            target = found["target"] or found["reference"]
            if not re.match(r"[a-z][a-z0-9+.-]*:", target):
                yield number, target


def anchors(page: Page) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them, and those set by hand."""
    found: set[str] = set()
    seen: dict[str, int] = {}
    for _, line in page.prose:
        found.update(re.findall(r"<a (?:id|name)=\"([^\"]+)\"", line))
        heading = re.match(r"#{1,6}\s+(.*?)\s*#*$", line)
        if heading:
            anchor = anchor_of(heading[1])
            count = seen.get(anchor, 0)
            seen[anchor] = count + 1
            found.add(f"{anchor}-{count}" if count else anchor)
    return found


def anchor_of(heading: str) -> str:
    """Return the anchor of a heading: lower case, blanks to hyphens, without punctuation."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


def broken_link(page: Page, target: str, read: Callable[[Path], Page] = read_page) -> str:
    """Say what is wrong with a relative link; ``""`` where nothing is."""
    place, _, anchor = target.partition("#")
    file = (page.path.parent / place).resolve() if place else page.path
    if not file.exists():
        return f"{place} does not exist"
    if anchor and file.suffix == ".md" and anchor not in anchors(read(file)):
        return f"{place or 'this page'} has no heading for #{anchor}"
    return ""


def main(arguments: list[str]) -> Any:
    """Run one page."""
    run_page(Path(arguments[0]).resolve())


if __name__ == "__main__":
    main(sys.argv[1:])
