"""Logins on this machine: one file for each gateway, which its user alone may read."""

from __future__ import annotations

import json
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self
from urllib.parse import quote

from sixpoint.client.tokens.bearer import Token, check_token
from sixpoint.errors import InvalidArgument, Unavailable
from sixpoint.io.atomic_files import temporary_path, write_file
from sixpoint.io.file_stamps import FileStamp, file_stamp

__all__ = ["Login", "LoginFile"]

_PRIVATE = stat.S_IRUSR | stat.S_IWUSR
_MAX_BYTES = 2**18
# Longer than any answer of an issuer that another process may wait for.
_LOCK_S = 90.0
_LOCK_PAUSE_S = 0.05
# A token is renewed so long before it expires, or in the last tenth of its life if that is shorter.
_EARLY_S = 60.0


@dataclass(frozen=True)
class Login:
    """What a person's login gave, and how to renew it.

    Attributes:
        issuer: URL of the issuer.
        client_id: Name of this program at the issuer.
        resource: Resource indicator of the gateway; empty for none.
        scope: Scopes that were asked for; empty for the usual ones.
        audience: Audience that was asked for; empty for none.
        access_token: Token for the gateway.
        refresh_token: Token that the issuer takes for new ones, once; empty for none.
        issued: Time when the access token came, seconds since 1970.
        expires: Time when the access token expires, seconds since 1970; None if nothing says so.
    """

    issuer: str
    client_id: str
    resource: str
    scope: str
    audience: str
    access_token: Token = field(repr=False)
    refresh_token: Token = field(repr=False)
    issued: float
    expires: float | None

    @property
    def is_fresh(self) -> bool:
        """Whether the access token need not be renewed yet."""
        if self.expires is None:
            return True
        return time.time() < self.expires - min(_EARLY_S, (self.expires - self.issued) / 10)

    @property
    def has_expired(self) -> bool:
        """Whether the access token has expired by this machine's clock."""
        return self.expires is not None and time.time() >= self.expires

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Read the content of a file.

        Raises:
            ValueError: It is no login.
        """
        content: object = None
        with suppress(ValueError, RecursionError):
            content = json.loads(data)
        # Outside of the handler: the exception would hold the content.
        if not isinstance(content, dict):
            raise ValueError("not a JSON object")
        texts = ("issuer", "client_id", "resource", "scope", "audience", "refresh_token")
        times = content.get("issued"), content.get("expires")
        if not all(isinstance(content.get(name), str) for name in texts) or not isinstance(times[0], int | float):
            raise ValueError("a field is missing")
        if times[1] is not None and not isinstance(times[1], int | float):
            raise ValueError("a time is missing")
        token = check_token(content.get("access_token"), origin="the token")
        values = {name: content[name] for name in texts[:-1]}
        refresh = Token(content["refresh_token"])
        return cls(**values, access_token=token, refresh_token=refresh, issued=times[0], expires=times[1])


class LoginFile:
    """The login for one gateway.

    Args:
        target: Address of the gateway, as ``str(Target)`` has it.

    Attributes:
        target: Address of the gateway.
        path: The file. It need not exist.

    Raises:
        InvalidArgument: The user has no home folder.
    """

    def __init__(self, target: str) -> None:
        self.target = target
        try:
            config = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
        except RuntimeError:
            raise InvalidArgument("this user has no home folder; name one for settings with XDG_CONFIG_HOME") from None
        self.path: Path = config / "sixpoint" / "logins" / f"{quote(target.lower(), safe='')}.json"

    def version(self) -> FileStamp | None:
        """What changes when the file does; None without a file."""
        try:
            return file_stamp(self.path)
        except OSError:
            return None

    def load(self) -> Login | None:
        """Return the login; None without one.

        Raises:
            InvalidArgument: The file cannot be read, or is damaged.
        """
        try:
            with self.path.open("rb") as file:
                data = file.read(_MAX_BYTES)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise InvalidArgument(f"the login in {self.path} cannot be read: {error.strerror}") from None
        try:
            return Login.from_json(data)
        except (ValueError, InvalidArgument):
            raise InvalidArgument(
                f"{self.path} is damaged, or of a newer sixpoint; log in again: sixpoint login --server {self.target}"
            ) from None

    def save(self, login: Login) -> None:
        """Replace the login, whole or not at all.

        Raises:
            InvalidArgument: The file cannot be written.
        """
        temporary = temporary_path(self.path)
        try:
            self._make_folder()
            os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, _PRIVATE))
            write_file(self.path, json.dumps(asdict(login), indent=2).encode(), temporary=temporary)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise InvalidArgument(f"the login cannot be stored in {self.path}: {error.strerror}") from None

    def remove(self) -> None:
        """Remove the login, if there is one.

        Raises:
            InvalidArgument: The file cannot be removed.
        """
        try:
            self.path.unlink(missing_ok=True)
        except OSError as error:
            raise InvalidArgument(f"{self.path} cannot be removed: {error.strerror}") from None

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes and threads from renewing this login meanwhile: a refresh token is good for one use.

        Raises:
            InvalidArgument: There is no place for the lock.
            Unavailable: Somebody else has had the lock for too long.
        """
        try:
            self._make_folder()
            number = os.open(self.path.with_suffix(".lock"), os.O_CREAT | os.O_RDWR, _PRIVATE)
        except OSError as error:
            raise InvalidArgument(f"the login in {self.path.parent} cannot be locked: {error.strerror}") from None
        try:
            _lock(number, self.path)
            yield
        finally:
            # This unlocks it, too. The file stays: another process may have opened it already.
            os.close(number)

    def _make_folder(self) -> None:
        self.path.parent.mkdir(mode=stat.S_IRWXU, parents=True, exist_ok=True)
        self.path.parent.chmod(stat.S_IRWXU)


def _lock(number: int, path: Path) -> None:
    try:
        import fcntl
    except ImportError:
        # Windows, on which two commands at once may have to log in again.
        return
    end = time.monotonic() + _LOCK_S
    while True:
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > end:
                raise Unavailable(
                    f"another program has been renewing the login in {path} for {_LOCK_S:.0f} s; try again"
                ) from None
        except OSError:
            # A file system without locks.
            return
        time.sleep(_LOCK_PAUSE_S)
