"""``JSONLines`` as a declaration: in which folder. It opens nothing."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import attrs

from resourcekit.extending import Capability, DataLayer, ResourceInfo, Store, option, require_keys
from resourcekit_jsonlines.store import JSONLinesStore

__all__ = ["JSONLines"]


@attrs.frozen
class JSONLines(DataLayer):
    """Keep the records of each resource in a file of JSON lines: ``JSONLines("records")``.

    folder: where the files are; the resource ``Note`` is kept in ``records/Note.jsonl``. ``"jsonlines:records"`` says the
    same.
    """

    capabilities: ClassVar[frozenset[Capability]] = JSONLinesStore.CAPABILITIES

    folder: str | Path = option(default=".", doc="Folder of the files; the working folder unless given.")

    def bind(self, info: ResourceInfo) -> Store:
        """Return the store.

        Raises DeclarationError RK151 if records have no key to distinguish them.
        """
        require_keys(info)
        return JSONLinesStore(info, Path(str(self.folder).removeprefix("jsonlines:")))
