"""Where an SQLite file lies: on which host, and on what kind of file system. It knows no database."""

from __future__ import annotations

import functools
import re
from pathlib import Path

__all__ = ["boot_id", "file_system", "is_remote"]

_REMOTE = frozenset(
    {
        *("nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "glusterfs", "lustre", "beegfs", "gpfs", "davfs"),
        *("fuse.sshfs", "fuse.glusterfs", "fuse.ceph", "fuse.s3fs", "fuse.gcsfuse", "fuse.rclone", "fuse.davfs2"),
    }
)
"""File systems of several hosts, as Linux calls them."""


def is_remote(kind: str) -> bool:
    """Say whether a kind of file system is one that several hosts share."""
    return kind in _REMOTE


@functools.cache
def boot_id() -> str:
    """Return the name of the time since this host was started; ``""`` where it has none, as outside of Linux."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""


def file_system(file: str, mounts: Path = Path("/proc/self/mounts")) -> str:
    """Return the kind of file system on which a file lies, as Linux calls it; ``""`` where that cannot be told."""
    try:
        lines = [line.split() for line in mounts.read_text(encoding="utf-8", errors="replace").splitlines()]
        folders = {str(folder) for folder in Path(file).resolve().parents}
    except OSError:
        return ""
    # Blanks in a path are written as octal numbers; the last of the longest folders is what is seen there.
    found = [(len(place), number, kind) for number, (_, place, kind, *_) in enumerate(lines) if _plain(place) in folders]
    return max(found)[2] if found else ""


def _plain(place: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), place)
