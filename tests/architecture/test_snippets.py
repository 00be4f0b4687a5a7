"""What the documentation shows is run, and where it points there is something. The module snippets.py documents the conventions."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import snippets

PAGES = [snippets.read_page(path) for path in snippets.pages()]
SECRETS = {
    "TOKEN_SECRET": "pXr1_6Xn0oTnC2mB8yq4Zs9dKf7hVg5jWl3aQe-uYiRt",
    "OLD_TOKEN_SECRET": "mB8yq4Zs9dKf7hVg5jWl3aQe-uYiRtpXr1_6Xn0oTnC2",
}


LONG = {
    "docs/errors.md",
    "docs/how-to/cookies-and-csrf.md",
    "docs/how-to/django.md",
    "docs/how-to/existing-tables.md",
    "docs/how-to/fastapi.md",
    "docs/how-to/flask.md",
    "docs/how-to/keep-your-library.md",
    "docs/how-to/litestar.md",
    "docs/how-to/migrate-with-alembic.md",
    "docs/how-to/run-in-production.md",
    "docs/how-to/run-the-sweep.md",
    "docs/how-to/test-your-app.md",
    "docs/how-to/write-a-data-layer.md",
    "docs/tutorial.md",
    "docs/tutorial-two-resources.md",
    "examples/archival/README.md",
    "examples/jsonlines/README.md",
}
"""Pages that take more than four seconds of processor time."""

RUNNING = [
    pytest.param(page, id=page.name, marks=[pytest.mark.slow] if page.name in LONG else [])
    for page in PAGES
    if snippets.runs(page)
]

PACKAGES = [file.parent for file in sorted(snippets.ROOT.glob("examples/*/pyproject.toml"))]


@pytest.fixture(scope="session")
def announced(tmp_path_factory):
    """A folder in which the example packages announce themselves, as an editable install would."""
    folder = tmp_path_factory.mktemp("announced")
    for package in PACKAGES:
        project = tomllib.loads((package / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        facts = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
        facts.mkdir()
        (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
        lines = [f"{name} = {place}" for name, place in project["entry-points"]["resourcekit"].items()]
        (facts / "entry_points.txt").write_text("\n".join(["[resourcekit]", *lines]) + "\n")
    return folder


def run(page: Path, folder: Path, *further: Path) -> subprocess.CompletedProcess[str]:
    """Run a page in a fresh process."""
    command = [sys.executable, "-W", "error", str(Path(snippets.__file__)), str(page)]
    path = os.pathsep.join(map(str, (snippets.ROOT, *snippets.ROOT.glob("extensions/*/"), *further)))
    environment = {**os.environ, **SECRETS, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(command, cwd=folder, env=environment, check=False, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("page", RUNNING)
def test_what_a_page_shows_runs_as_it_says(page, tmp_path, announced):
    """Every block of a page works, in order, in an empty folder, and prints and returns what the page says."""
    done = run(page.path, tmp_path, announced, *PACKAGES)

    assert done.returncode == 0, done.stdout + done.stderr


def test_the_long_pages_are_pages():
    """A page that is renamed keeps its mark."""
    assert set() == LONG - {page.name for page in PAGES}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_where_a_page_points_there_is_something(page):
    """Every relative link of a page leads to a file, and to a heading where it names one."""
    broken = [
        f"{page.name}:{line}: {target}: {problem}"
        for line, target in snippets.links(page)
        if (problem := snippets.broken_link(page, target))
    ]

    assert [] == broken, "\n".join(broken)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_says_its_language(page):
    """A block without a language would be neither run nor known to be only shown."""
    bare = [block.line for block in page.blocks if not block.language]

    assert [] == bare


def test_the_test_command_of_the_readme_is_the_one_that_ci_runs():
    """The README prints the test command as .ci/run runs it."""
    commands = [line for block in snippets.read_page(snippets.ROOT / "README.md").blocks for line in block.text.splitlines()]
    ci = (snippets.ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()

    assert [line for line in ci if line.endswith("/pytest")] == [line for line in commands if line.endswith("/pytest")]


WRONG = {
    "a wrong value": "```python\n1 + 1    # -> 3\n```",
    "an error that does not come": "```python\nint('1')    # raises ValueError\n```",
    "another error": "```python\nint('x')    # raises KeyError\n```",
    "another text": "```python\nint('x')    # raises ValueError: no\n```",
    "an error": "```python\n1 / 0\n```",
    "an error after an await": "```python\nimport asyncio\nawait asyncio.sleep(0)\n1 / 0\n```",
    "a wrong value inside a block": "```python\nif True:\n    1 + 1    # -> 3\n    2 + 2\n```",
    "a claim inside a function": "```python\ndef two():\n    1 + 1    # -> 2\n    return 2\n```",
    "a warning": "```python\nimport warnings\nwarnings.warn('x')\n```",
    "a file that breaks": "```python\n# broken.py\n1 / 0\n```",
    "a test that fails": "```python\n# test_it.py\ndef test_it():\n    assert False\n```",
    "a claim in a file": "```python\n# kept.py\n1 + 1    # -> 2\n```",
    "a command that fails": "```console\n$ false\n```",
    "a command that should fail": "```console\n$ true    # exit code 1\n```",
    "a command that prints something else": "```console\n$ echo one\ntwo\n```",
    "a command that prints more": "```console\n$ printf 'one\\ntwo\\n'\none\n```",
}


@pytest.mark.parametrize("text", WRONG.values(), ids=WRONG.keys())
def test_a_page_that_says_something_wrong_fails(text, tmp_path):
    """The runner sees every kind of difference between what is said and what is."""
    page = tmp_path / "page.md"
    page.write_text(f"# Title\n\n{text}\n", encoding="utf-8")

    done = run(page, tmp_path)

    assert 0 != done.returncode


RIGHT = """
# Title

```python
# kept.py
from __future__ import annotations

VALUE = 41
```

```python
# kept.py
from __future__ import annotations

def more() -> int:
    return VALUE + 1
```

```python
import kept

kept.more()    # -> 42
[1, 2, 3]      # -> [1, ..., 3]
int("x")       # raises ValueError
1 / 0          # raises ZeroDivisionError: division by zero
class Thing: ...
class Other(int, str): ...    # raises TypeError
with open("kept.py") as file:
    len(file.read()) > 10     # -> True
    file.read(1, 2, 3)        # raises TypeError
Thing.__module__    # -> 'page'
```

```python
import asyncio

await asyncio.sleep(0, "done")    # -> 'done'
Thing()    # -> <page.Thing object at ...>
```

```console
$ echo one; echo two; exit 3    # exit code 3
one
...
$ true
```
"""


def test_a_page_that_says_what_is_passes(tmp_path):
    """Blocks share a module, files are put together, and values, errors, output and exit codes are compared."""
    page = tmp_path / "page.md"
    page.write_text(RIGHT, encoding="utf-8")

    done = run(page, tmp_path)

    assert 0 == done.returncode, done.stderr


def test_links_are_followed_to_headings(tmp_path):
    """A missing file and a missing heading are found, a code span is no link, and repeated headings are counted."""
    text = (
        "# One `two`, three!\n\n## Again\n\n## Again\n\n[a](#one-two-three) [b](#again-1) [c](#again-2) [d](gone.md) `[e](f)`\n"
    )
    page_file = tmp_path / "page.md"
    page_file.write_text(text + "[here](page.md#again) [web](https://example.org/x)\n", encoding="utf-8")
    page = snippets.read_page(page_file)

    found = [target for _, target in snippets.links(page) if snippets.broken_link(page, target)]

    assert ["#again-2", "gone.md"] == found
