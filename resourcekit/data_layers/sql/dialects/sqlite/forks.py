"""Lets the child of a fork use an SQLite file that a thread of its parent had open.

A maintainer opens it if a child of a fork cannot read or write. SQLite keeps, for each file, the locks that its process holds.
A child inherits this list, with the locks of connections that other threads of the parent were using. It cannot close those
connections, because that would disturb the parent, so its own connections would find the file locked until the process ends. SQLite knows
a file by the device and inode that ``fstat`` returns, and lets a program replace that function. In a child, it returns another
device, so SQLite keeps a new list for the file, and asks the operating system for all locks. Locks in memory that a thread of
the parent held at the fork are released, too.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Callable
from typing import Any

__all__ = ["after_fork_in_child", "before_fork"]

_NAMES = (
    *("xOpen", "xDelete", "xAccess", "xFullPathname", "xDlOpen", "xDlError", "xDlSym", "xDlClose", "xRandomness", "xSleep"),
    *("xCurrentTime", "xGetLastError", "xCurrentTimeInt64", "xSetSystemCall", "xGetSystemCall", "xNextSystemCall"),
)

_MUTEXES = (2, 3, 4, 5, 6, 7, 11, 12, 13)
"""Numbers of SQLite's global locks: of its settings, memory, random numbers, cache and files. The others are for applications."""


class _VFS(ctypes.Structure):
    """SQLite's ``sqlite3_vfs``, version 3."""

    _fields_ = (
        ("iVersion", ctypes.c_int),
        ("szOsFile", ctypes.c_int),
        ("mxPathname", ctypes.c_int),
        ("pNext", ctypes.c_void_p),
        ("zName", ctypes.c_char_p),
        ("pAppData", ctypes.c_void_p),
        *((name, ctypes.c_void_p) for name in _NAMES),
    )


_FSTAT = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_void_p)


class _Library:
    """The SQLite library that Python's module sqlite3 uses.

    Raises AttributeError, OSError or ValueError if its functions cannot be called from here, or if it is not the one for Unix.
    """

    def __init__(self) -> None:
        import _sqlite3  # only a process that forks needs it

        library = ctypes.CDLL(_sqlite3.__file__)
        library.sqlite3_vfs_find.restype = ctypes.POINTER(_VFS)
        library.sqlite3_mutex_alloc.restype = ctypes.c_void_p
        self._try: Any = library.sqlite3_mutex_try
        self._leave: Any = library.sqlite3_mutex_leave
        self._try.argtypes = self._leave.argtypes = (ctypes.c_void_p,)
        self._mutexes = [library.sqlite3_mutex_alloc(number) for number in _MUTEXES]
        vfs = library.sqlite3_vfs_find(None)
        if not vfs or vfs.contents.iVersion < 3 or not vfs.contents.zName.startswith(b"unix"):  # the version
            msg = "not SQLite's usual way to files on Unix"
            raise ValueError(msg)
        self._vfs = ctypes.cast(vfs, ctypes.c_void_p)
        get: Any = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p)(vfs.contents.xGetSystemCall)
        self._set: Any = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)(
            vfs.contents.xSetSystemCall
        )
        self._fstat: Callable[[int, Any], int] = _FSTAT(get(self._vfs, b"fstat"))
        self._mark = 0
        self._replacement: Any = None

    def unlock(self) -> None:
        """In the child of a fork, release SQLite's global locks: a thread that held one of them does not exist here."""
        for mutex in self._mutexes:
            self._try(mutex)
            self._leave(mutex)

    def separate(self) -> None:
        """Make SQLite take each file for another one than those that this process has inherited."""
        self._mark = os.getpid() << 8
        if self._replacement is not None:
            return

        def fstat(file: int, result: Any) -> int:
            code = self._fstat(file, result)
            if code == 0:
                # The number of the device is the first member of the result on Linux, macOS and the BSDs.
                ctypes.c_uint32.from_address(result).value ^= self._mark & 0xFFFFFFFF
            return code

        self._replacement = _FSTAT(fstat)
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._replacement))  # SQLite calls it until the process has ended
        self._set(self._vfs, b"fstat", ctypes.cast(self._replacement, ctypes.c_void_p))


_library: list[_Library | None] = []
"""Empty before the first fork; ``None`` if the library cannot be reached."""


def before_fork() -> None:
    """Find the library before the fork, because the child cannot wait for SQLite's locks."""
    if not _library:
        found = None
        with contextlib.suppress(AttributeError, OSError, ValueError, ImportError):  # an unusual build: the child goes without
            found = _Library()
        _library.append(found)


def after_fork_in_child() -> None:
    """Separate the files of the child from those of its parent."""
    if _library and _library[0] is not None:
        _library[0].unlock()
        _library[0].separate()
