"""Secrets from files: a variable ``X`` for a secret may be given as ``X_FILE``, the path of a file that holds it.

A variable of a process is passed to its children, and shown by tools that describe the process; a file is not.
Kubernetes and Docker mount secrets as files.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path

from sixpoint.errors import InvalidArgument

__all__ = [
    "SUFFIX",
    "environment_without_secrets",
    "exposed_files",
    "named_files",
    "read_secret",
    "secret_from_environment",
]

SUFFIX = "_FILE"
"""What is added to the name of a variable that holds a secret."""

# Beginnings of the names of variables that may hold one.
_SECRETIVE = ("AWS_", "AZURE_", "GOOGLE_", "HF_", "PGPASSWORD", "SIXPOINT_")
# A secret is a line: a password, a key, a token.
_MAX_BYTES = 64 * 2**10


def secret_from_environment(variable: str, environment: Mapping[str, str] | None = None) -> str | None:
    """Return the secret of a variable, or of the file that the variable with ``_FILE`` names; None without either.

    A variable that is set to nothing counts as not set.

    Args:
        variable: Name of the variable for the secret itself.
        environment: Variables by name; None for those of this process.

    Raises:
        InvalidArgument: Both are set, or the file cannot be used. The message never repeats what the file holds.
    """
    environment = os.environ if environment is None else environment
    value, path = environment.get(variable) or None, environment.get(f"{variable}{SUFFIX}")
    if not path:
        return value
    if value is not None:
        raise InvalidArgument(f"{variable} and {variable}{SUFFIX} are both set: unset one of them")
    return read_secret(Path(path), variable=f"{variable}{SUFFIX}")


def read_secret(path: Path, *, variable: str) -> str:
    """Return the one line of a file, without the newline at its end.

    Args:
        path: Path of the file; links are followed, such as those of Kubernetes.
        variable: Name of the variable that names the file, for the error message.

    Raises:
        InvalidArgument: It is no file, cannot be read, is empty, or holds more than a line of text.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise InvalidArgument(f"{variable} must name a file; it names a folder or a device")
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a valid path"
        raise InvalidArgument(f"{variable}: the file cannot be read ({reason})") from None
    if len(content) > _MAX_BYTES:
        raise InvalidArgument(f"{variable}: the file is larger than {_MAX_BYTES >> 10} KiB; name one with a secret")
    try:
        secret = content.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        # Without the error: it holds the content.
        secret = "\0"
    if not secret:
        raise InvalidArgument(f"{variable}: the file is empty")
    if not secret.isprintable():
        raise InvalidArgument(f"{variable}: the file must hold one line of text")
    return secret


def named_files(variables: Iterable[str]) -> list[tuple[str, Path]]:
    """Return, for those of these variables whose secret is in a file, the variable with ``_FILE`` and the path."""
    names = (f"{variable}{SUFFIX}" for variable in variables)
    return [(name, Path(path)) for name in names if (path := os.environ.get(name))]


def environment_without_secrets() -> dict[str, str]:
    """Return this process's variables for a program of others: without those of sixpoint and of object stores."""
    return {name: value for name, value in os.environ.items() if not name.upper().startswith(_SECRETIVE)}


def exposed_files(files: Iterable[tuple[str, Path]]) -> list[str]:
    """Return a sentence for each file that every user of this machine may read by its mode.

    That is no error: the mode of a mounted secret is often so, where nobody else can reach the mount.

    Args:
        files: Name of the variable and path of each file.
    """
    sentences = []
    for variable, path in files:
        try:
            mode = stat.S_IMODE(path.stat().st_mode)
        except (OSError, ValueError):
            continue
        if mode & stat.S_IROTH:
            sentences.append(
                f"the file of {variable} has the mode {mode:04o}: every user of this machine may read it, unless its "
                "folder forbids it; chmod 600 makes it private"
            )
    return sentences
