"""Facts about an SQLite file: its place, the host that it is used on, and the kind of its file system."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Hashable
from pathlib import Path
from urllib.parse import unquote

from sqlalchemy.engine import URL

__all__ = ["boot_id", "file_system", "folded", "identity", "is_remote", "place"]

_REMOTE = frozenset(
    {
        *("nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "glusterfs", "lustre", "beegfs", "gpfs", "davfs"),
        *("fuse.sshfs", "fuse.glusterfs", "fuse.ceph", "fuse.s3fs", "fuse.gcsfuse", "fuse.rclone", "fuse.davfs2"),
    }
)
"""Network file systems, by the names that Linux uses."""


def identity(path: str) -> tuple[int, int] | None:
    """Return device and inode of a file; ``None`` if there is no file, as for a database in memory."""
    try:
        found = os.stat(path)  # noqa: PTH116  # as the dialect does in each call
    except OSError:
        return None
    return found.st_dev, found.st_ino


def is_remote(kind: str) -> bool:
    """Return whether a kind of file system can be shared by several hosts."""
    return kind in _REMOTE


@functools.cache
def boot_id() -> str:
    """Return the id of this host's current boot; ``""`` if there is none, as outside of Linux."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""


def file_system(file: str, mounts: Path = Path("/proc/self/mounts")) -> str:
    """Return the kind of file system of a file, by the name that Linux uses; ``""`` if it is not known."""
    try:
        lines = [line.split() for line in mounts.read_text(encoding="utf-8", errors="replace").splitlines()]
        folders = {str(folder) for folder in Path(file).resolve().parents}
    except OSError:
        return ""
    # Blanks in a path are written as octal numbers. The last mount of the longest matching folder is the visible one.
    found = [(len(place), number, kind) for number, (_, place, kind, *_) in enumerate(lines) if _plain(place) in folders]
    return max(found)[2] if found else ""


def _plain(place: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), place)


def place(url: URL) -> Hashable:
    """Return the identity of the file of a URL, which all its paths share; the path without symbolic links if there is no file."""
    name = url.database or ""
    if name.startswith("file:"):
        name = unquote(name.removeprefix("file:").partition("?")[0])
        name = re.sub(r"^//(?:localhost)?(?=/)", "", name)
    try:
        found = os.stat(name)  # noqa: PTH116  # an invalid path raises OSError or ValueError
    except (OSError, ValueError):
        return os.path.realpath(Path(name))
    return found.st_dev, found.st_ino


def folded(name: str) -> str:
    """Return a name with ASCII letters in lower case."""
    return "".join(character.lower() if character.isascii() else character for character in name)
