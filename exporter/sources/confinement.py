"""Take network, other programs and write access away from this process, by Linux's Landlock and seccomp.

Both need no privileges. They hold for threads that start later, so that this comes before other imports.
References: ``man 7 landlock``, ``man 2 seccomp``, ``linux/filter.h``.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys
from pathlib import Path

__all__ = ["confine"]

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_WRITES = 0b1_1111_1111_0010
"""Landlock's rights to write, create and remove: all of its first version but to execute and to read."""
_REFER, _TRUNCATE = 1 << 13, 1 << 14
_WRITE_FILE = 1 << 1
_NO_NEW_PRIVILEGES, _SECCOMP, _FILTER = 38, 22, 2
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | errno.EPERM
_X32 = 0x40000000
# socket, connect, bind, listen, execve, execveat, ptrace, io_uring_setup, process_vm_writev, kill
_DENIED = {
    "x86_64": (0xC000003E, (41, 42, 49, 50, 59, 322, 101, 425, 311, 62)),
    "aarch64": (0xC00000B7, (198, 203, 200, 201, 221, 281, 117, 425, 271, 129)),
}


def confine(writable: Path) -> list[str]:
    """Confine this process and its later threads.

    Args:
        writable: Folder that it may still write to.

    Returns:
        What this system cannot take away; empty if everything was.
    """
    left = ["write access to files", "network and other programs"]
    if sys.platform != "linux":
        return left
    library = ctypes.CDLL(None, use_errno=True)
    if library.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) != 0:
        return left
    return [
        text for text, done in zip(left, (_landlock(library, writable), _seccomp(library)), strict=True) if not done
    ]


def _landlock(library: ctypes.CDLL, writable: Path) -> bool:
    """Refuse writes outside a folder; return whether the kernel does."""
    version = library.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(1))
    if version < 1:
        return False
    rights = _WRITES | (_REFER if version >= 2 else 0) | (_TRUNCATE if version >= 3 else 0)
    attributes = struct.pack("Q", rights)
    ruleset = library.syscall(_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint32(0))
    if ruleset < 0:
        return False
    try:
        for path, allowed in ((writable, rights), (Path("/dev/null"), _WRITE_FILE)):
            descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
            rule = struct.pack("=Qi", allowed, descriptor)
            added = library.syscall(_ADD_RULE, ruleset, ctypes.c_uint32(1), rule, ctypes.c_uint32(0))
            os.close(descriptor)
            if added != 0:
                return False
        return bool(library.syscall(_RESTRICT_SELF, ruleset, ctypes.c_uint32(0)) == 0)
    finally:
        os.close(ruleset)


def _seccomp(library: ctypes.CDLL) -> bool:
    """Refuse sockets, other programs and access to other processes; return whether the kernel does."""
    if platform.machine() not in _DENIED:
        return False
    architecture, calls = _DENIED[platform.machine()]
    steps = [(_LOAD, 0, 0, 4), (_EQUAL, 1, 0, architecture), (_RETURN, 0, 0, _REFUSE), (_LOAD, 0, 0, 0)]
    steps += [(_AT_LEAST, len(calls) + 1, 0, _X32)]
    steps += [(_EQUAL, len(calls) - index, 0, call) for index, call in enumerate(calls)]
    steps += [(_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _REFUSE)]
    filters = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    program = ctypes.create_string_buffer(struct.pack("HP", len(steps), ctypes.addressof(filters)))
    return bool(library.prctl(_SECCOMP, _FILTER, program, 0, 0) == 0)
