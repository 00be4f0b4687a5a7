"""Documentation of classes, methods and functions, inherited documentation included."""

from __future__ import annotations

import ast
import contextlib
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import attrs
import pytest

import resourcekit
import resourcekit_tokens
import resourcekit_web
from tests.support.web_apps import configure_django

ROOT = Path(__file__).parents[2]
PACKAGES = (resourcekit, resourcekit_tokens, resourcekit_web)
FRAMEWORKS = {
    *("django", "flask", "litestar", "ninja", "quart", "rest_framework"),
    *("allauth", "authlib", "authx", "fastapi_users", "flask_jwt_extended", "rest_framework_simplejwt"),
}
"""Packages whose adapters are looked at only if they are installed, as the extra ``dev`` does it."""


def modules() -> Iterator[ModuleType]:
    """Yield all modules of the packages."""
    with contextlib.suppress(ModuleNotFoundError):
        configure_django()  # modules of Django read its settings when they are imported
    for package in PACKAGES:
        yield package
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not found.name.endswith(
                ("__main__", ".flow.clock", ".bridges.allauth")
            ):  # they warn, or need a project of their own
                try:
                    yield importlib.import_module(found.name)
                except ModuleNotFoundError as error:
                    if str(error.name).partition(".")[0] not in FRAMEWORKS:
                        raise


def undocumented(module: ModuleType) -> Iterator[str]:
    """Yield the public classes, methods and functions of a module that have no documentation of their own or of a base."""
    for name, value in vars(module).items():
        if name.startswith("_") or getattr(value, "__module__", None) != module.__name__:
            continue
        if inspect.isfunction(value) and not inspect.getdoc(value):
            yield f"{module.__name__}.{name}"
        if inspect.isclass(value):
            for member, found in vars(value).items():
                if isinstance(found, property) and getattr(found.fget, "__module__", module.__name__) != module.__name__:
                    continue  # a framework's metaclass added it
                is_method = inspect.isfunction(found) or isinstance(found, (classmethod, staticmethod, property))
                is_of_django = member == "media" and isinstance(found, property)  # added by the metaclass of its admin pages
                if is_method and not (is_of_django or member.startswith("_") or _doc(value, member)):
                    yield f"{module.__name__}.{name}.{member}"


def _doc(owner: type, member: str) -> str | None:
    """Return the documentation of a member, of its own or of the nearest base that has some."""
    found = (inspect.getdoc(vars(base)[member]) for base in owner.__mro__ if member in vars(base))
    return next(filter(None, found), None)


@pytest.mark.parametrize("module", list(modules()), ids=lambda module: module.__name__)
def test_public_functions_and_methods_are_documented(module):
    """Each has a docstring, or inherits one from the method that it overrides."""
    assert [] == list(undocumented(module))


def test_documented_fields_exist():
    """The docstring of an attrs class documents no field that the class does not have."""
    wrong = []
    for module in modules():
        for name, value in vars(module).items():
            if not inspect.isclass(value) or value.__module__ != module.__name__ or not attrs.has(value):
                continue
            have = {field.name for field in attrs.fields(value)} | set(dir(value))
            documented = re.findall(r"^([a-z_]+): ", inspect.cleandoc(vars(value).get("__doc__") or ""), re.MULTILINE)
            wrong += [f"{module.__name__}.{name}.{field}" for field in documented if field not in have]

    assert [] == wrong


FORMS = {
    "See X. instead of a docstring": (r'^\s*"""See [A-Z][\w .]*\.?"""', 0),
    "knows no, knows nothing": (r"\b[Kk]nows? (no|nothing|neither|nobody)\b", 0),
    "whoever, somebody, nobody, anybody": (r"\b([Ww]hoever|[Ss]omebody|[Nn]obody|[Aa]nybody)\b", 4),
    "ours and theirs as nouns": (r"\b(is|are|of|not) (ours|theirs)\b", 1),
    "say or tell whether, of, that": (r"\b(Say|Tell)s? (whether|of|that)\b", 0),
    "stands": (r"\b(stands?|stood)\b", 3),
    "for ever": (r"\bfor ever\b", 1),
    "a promise without its name": (r"\(P[1-9]\)", 3),
    "room, house, door, floor": (r"\b([Rr]ooms?|[Hh]ouse|[Dd]oors?|[Ff]loors?)\b(?!\w)", 2),
    "colour": (r"\b\w*[Cc]olours?\w*\b", 6),
    "link, crew, gauge, keeper, trouble": (
        r"\b(Link|AsyncLink|Gauge|Wire|Trouble\w*|crew|Crew|keeper|is_guest|at_stake|Home|Plot|Tally|Bench)\b",
        0,
    ),
    "patience, breath, hush, spoilt": (r"\b\w*([Pp]atience|[Bb]reath|_BLINK|unhurried|talkative|hush|spoil)\w*\b", 0),
    "law, law book, ledger": (r"\b([Ll]aws?\b|[Ll]edger|LawBook)", 0),
    "tells": (r"\b[Tt]ells?\b", 48),
    "whom": (r"\b[Ww]hom\b", 14),
    "all the same": (r"\ball the same\b", 7),
    "voice, deed, ground": (r"\b([Vv]oices?|[Dd]eeds?|[Gg]rounds?)\b", 0),
    "misfit, told, hang, chapter": (r"\b(misfits?|told|_hang|storytelling|chapter)\b", 9),
}
"""Forms that the source and the pages do not use, with the number of places that may still have them.

A number is only ever lowered. The list of terms to use instead is docs/glossary.md.
"""


def prose() -> Iterator[str]:
    """Yield the lines of the source, the tests and the pages, without the changelog and this list."""
    for folder in ("resourcekit", "extensions", "examples", "docs", "tests", "."):
        pattern = "*" if folder == "." else "**/*"
        for path in sorted((ROOT / folder).glob(pattern)):
            parts = path.relative_to(ROOT).parts
            skipped = {"__pycache__", ".venv"} & set(parts) or path.name in {"changelog.md", Path(__file__).name}
            if path.suffix in {".py", ".md"} and not skipped:
                yield from path.read_text(encoding="utf-8").splitlines()


def test_prose_uses_the_terms_of_the_glossary():
    """No form of the list comes back: each is found at no more places than the list allows."""
    lines = list(prose())
    found = {form: sum(len(re.findall(pattern, line)) for line in lines) for form, (pattern, _) in FORMS.items()}

    assert {} == {form: count for form, count in found.items() if count > FORMS[form][1]}


def test_modules_say_what_they_are():
    """Each module of the packages begins with a docstring."""
    bare = [module.__name__ for module in modules() if module.__file__ and not _module_doc(Path(module.__file__))]

    assert [] == bare


def _module_doc(path: Path) -> str | None:
    text = path.read_text(encoding="utf-8")
    return ast.get_docstring(ast.parse(text)) if len(text.splitlines()) > 1 else "empty"
