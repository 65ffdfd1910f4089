"""The key of the Triton that sixpoint runs on this machine: whoever has it may load models, which is running code.

Triton takes a key for its control API on its command line, and expects it in the metadata of calls. The gateway and the
exporter find it in a file of their user, named by Triton's port: in the runtime folder of the user, or in the
temporary folder where there is none, as for a service of the system.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import tempfile
from pathlib import Path

from sixpoint.io.atomic_files import write_file

__all__ = [
    "KEY_NAME",
    "KEY_VARIABLE",
    "RESTRICTED",
    "RESTRICTED_PROTOCOLS",
    "control_metadata",
    "key_path",
    "remove_key",
    "store_key",
]

KEY_VARIABLE = "SIXPOINT_TRITON_KEY"
"""Environment variable with the key of a Triton that runs elsewhere."""

RESTRICTED_PROTOCOLS = "model-repository,shared-memory,trace,logging"
"""Parts of Triton's gRPC API that need the key."""

RESTRICTED = "is restricted"
"""Part of Triton's error for a call without the key, or with a wrong one."""

KEY_NAME = "sixpoint-key"
"""Name of the key, on Triton's command line."""

_HEADER = f"triton-grpc-protocol-{KEY_NAME}"
_LOCAL = ("127.0.0.1", "localhost", "[::1]", "0.0.0.0")


def control_metadata(address: str, *, key: str = "") -> tuple[tuple[str, str], ...]:
    """The metadata with which Triton carries out calls of its control API; empty where no key is known.

    Args:
        address: Address of Triton, host:port.
        key: Key, if it is given; otherwise the key of a Triton on this machine is looked up.
    """
    host, _, port = address.rpartition(":")
    if not key and host in _LOCAL and port.isdecimal():
        key = _stored_key(int(port))
    return ((_HEADER, key),) if key else ()


def store_key(port: int, key: str) -> None:
    """Store the key of the Triton on a port, for this user alone.

    Raises:
        OSError: The file cannot be written, or its folder is another user's.
    """
    path = key_path(port)
    path.parent.mkdir(mode=stat.S_IRWXU, parents=True, exist_ok=True)
    status = path.parent.lstat()
    if status.st_uid != os.geteuid() or not stat.S_ISDIR(status.st_mode):
        raise PermissionError(errno.EACCES, "its folder is another user's")
    path.parent.chmod(stat.S_IRWXU)
    write_file(path, key.encode())
    path.chmod(stat.S_IRUSR | stat.S_IWUSR)


def remove_key(port: int, key: str) -> None:
    """Remove the key of the Triton on a port, unless another Triton has stored its own."""
    for path in _paths(port):
        with contextlib.suppress(OSError):
            if path.read_text() == key:
                path.unlink()


def key_path(port: int) -> Path:
    """The file in which the key of the Triton on a port is stored."""
    return _paths(port)[0]


def _stored_key(port: int) -> str:
    """The key that this user stored last for a port; empty without one."""
    stored = [(0, "")]
    for path in _paths(port):
        with contextlib.suppress(OSError):
            status = path.stat()
            # In a shared temporary folder, somebody else may have been faster.
            if status.st_uid == os.geteuid():
                stored.append((status.st_mtime_ns, path.read_text()))
    return max(stored)[1]


def _paths(port: int) -> list[Path]:
    """The files that may hold the key of the Triton on a port, the preferred one first."""
    user = os.geteuid()
    runtime = Path(os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{user}")
    folders = [Path(tempfile.gettempdir()) / f"sixpoint-{user}"]
    # After sudo or su, the variable may name a folder of another user, or none that exists.
    with contextlib.suppress(OSError):
        if runtime.stat().st_uid == user:
            folders.insert(0, runtime / "sixpoint")
    return [folder / f"triton-{port}.key" for folder in folders]
