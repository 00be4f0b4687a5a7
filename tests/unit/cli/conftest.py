from __future__ import annotations

import gc
import importlib
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from resourcekit import plugins as plugin_room
from resourcekit.cli import main

HELPDESK = '''
from __future__ import annotations
from datetime import datetime, timedelta
from typing import Literal
from resourcekit import Attr, Domain, Query, Resource, action, attribute, create, identity, index, read, set_attribute, update
from resourcekit.extending import Attribute, Extension, Service, Transformer

class Count(Service):
    """Counts its runs."""
    runs = 0
    def interval(self, options):
        return timedelta(seconds=1)
    async def run(self, context):
        self.runs += 1
        if self.runs == 2:
            raise OSError("secret")
        return self.runs

class AddArchivedAt(Transformer):
    def transform(self, state, options):
        close = state.actions["close"]
        return state.add(Attribute.of("archived_at", datetime | None, default=None)).replace(close)

class Archival(Extension):
    """Marks instead of destroying."""
    transformers = (AddArchivedAt,)
    services = (Count,)

helpdesk = Domain("helpdesk")

class Ticket(Resource, domain=helpdesk, extensions=[Archival]):
    """A request for help.

    More about it.
    """
    id: Attr[int] = attribute(primary_key=True)
    subject: Attr[str] = attribute(public=True)
    status: Attr[Literal["open", "closed"]] = attribute(default="open")
    note: Attr[str] = attribute(default="hunter2", sensitive=True)
    by_subject = identity("subject")
    recent = index("status", "subject")
    submit = create(accept=["id", "subject"])
    close = update(changes=[set_attribute("status", "closed")])

    @read
    @staticmethod
    def about(query: Query[Ticket], word: str, limit: int = 3) -> Query[Ticket]:
        return query

    @action
    @staticmethod
    async def count_open() -> int:
        return 0
'''


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with the module ``helpdesk_app``, as the current one; no plugin is installed."""
    (tmp_path / "helpdesk_app.py").write_text(HELPDESK)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(plugin_room, "_found", [()])
    monkeypatch.delenv("RESOURCEKIT_TRACEBACK", raising=False)
    importlib.invalidate_caches()
    yield tmp_path
    sys.modules.pop("helpdesk_app", None)
    gc.collect()


@pytest.fixture
def run(folder):
    """Run the command as the shell would, from that folder."""

    def run(*words: str | Path):
        return CliRunner().invoke(main, [str(word) for word in words], prog_name="resourcekit")

    return run
