"""Sources of a client's token: given once, a function, a file that changes, or a login that is renewed."""

from __future__ import annotations

import os
import ssl
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from sixpoint.client.tokens.bearer import Token, check_token
from sixpoint.client.tokens.logins import Login, LoginFile
from sixpoint.errors import InvalidArgument, SixpointError, Unauthenticated
from sixpoint.io.file_stamps import FileStamp, file_stamp
from sixpoint.io.secret_files import read_secret

__all__ = ["CallableToken", "FileToken", "FixedToken", "LoginToken", "NoToken", "TokenSource"]

# An issuer that did not renew a token is asked again after this time, while the token is still valid.
_PAUSE_S = 10.0


class TokenSource(ABC):
    """Where a client's token comes from. An empty token means none; reprs name the kind alone."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    @abstractmethod
    def ready(self) -> str | None:
        """Return the token for the next call if it takes no waiting; None if :meth:`fetch` must be asked."""

    def fetch(self) -> str:
        """Return the token for the next call; it may wait for a file, a function, or the issuer.

        Raises:
            InvalidArgument: What is there is no token.
            Unauthenticated: The login has ended.
            Unavailable: The issuer does not answer.
        """
        return self.ready() or ""

    def renew(self, rejected: str) -> str | None:
        """Return another token than one that a gateway did not accept; None if there is none. It may wait.

        Args:
            rejected: Token that the gateway did not accept.
        """
        token = self.fetch()
        return token if token and token != rejected else None


class NoToken(TokenSource):
    """No token."""

    def ready(self) -> str:
        """Return nothing."""
        return ""


class FixedToken(TokenSource):
    """A token that stays as it was given.

    Args:
        token: The token, checked.
    """

    def __init__(self, token: Token) -> None:
        self._token = token

    def ready(self) -> str:
        """Return the token."""
        return self._token


class CallableToken(TokenSource):
    """A function of the caller's, which is asked before each call.

    Args:
        function: Returns a token. It may wait; clients for asyncio call it in a thread.
    """

    def __init__(self, function: Callable[[], str]) -> None:
        self._function = function

    def ready(self) -> None:
        """Return None: the function may wait."""
        return

    def fetch(self) -> str:
        """Ask the function."""
        return check_token(self._function(), origin="what the function given as token= returned")


class FileToken(TokenSource):
    """A file that holds a token, and is read again when it changes.

    Args:
        path: Path of the file. It may be a symbolic link, as Kubernetes has for secrets.
        origin: Name of the argument or variable that names the file.
    """

    def __init__(self, path: str | os.PathLike[str], *, origin: str) -> None:
        self._path = Path(path)
        self._origin = origin
        self._read: tuple[FileStamp | None, Token] | None = None

    def ready(self) -> str | None:
        """Return the token as it was read last, unless the file has changed."""
        return self._read[1] if self._read and self._read[0] == self._version() else None

    def fetch(self) -> str:
        """Read the file, unless it is as it was.

        Raises:
            InvalidArgument: The file cannot be read, or holds no token.
        """
        token = self.ready()
        if token is not None:
            return token
        version = self._version()
        if self._read and version and version.size == 0:
            # Somebody writes it at this moment.
            return self._read[1]
        secret = problem = ""
        try:
            secret = read_secret(self._path, variable=self._origin)
        except InvalidArgument as error:
            problem = error.message
        if problem:
            # Outside of the handler: its exception holds the name of the file, in whose place a token may stand.
            raise InvalidArgument(f"{problem}; a file with a token was expected")
        token = check_token(secret, origin=f"the file of {self._origin}")
        self._read = version, token
        return token

    def _version(self) -> FileStamp | None:
        try:
            return file_stamp(self._path)
        except (OSError, ValueError):
            return None


class LoginToken(TokenSource):
    """The login for a gateway that ``sixpoint login`` stored; no token without one.

    Args:
        file: File of the login.
        context: Makes the TLS context by which the issuer is asked.
    """

    def __init__(self, file: LoginFile, *, context: Callable[[], ssl.SSLContext]) -> None:
        self._file = file
        self._context = context
        self._read: tuple[FileStamp | None, Login] | None = None
        self._next_attempt = 0.0

    def ready(self) -> str | None:
        """Return the login's token, unless it must be read or renewed; empty without a login."""
        version = self._file.version()
        if version is None:
            return ""
        if self._read is None or self._read[0] != version:
            return None
        login = self._read[1]
        waits = time.monotonic() < self._next_attempt and not login.has_expired
        return login.access_token if login.is_fresh or waits else None

    def fetch(self) -> str:
        """Return the login's token; renew it if it is about to expire.

        Raises:
            InvalidArgument: The file is damaged, or a renewed token could not be stored.
            Unauthenticated: The token has expired, and the issuer does not renew it.
            Unavailable: The token has expired, and the issuer does not answer.
        """
        login = self._load()
        if login is None:
            return ""
        if login.is_fresh or not (login.refresh_token or login.has_expired):
            return login.access_token
        try:
            return self._renew(unless=lambda stored: stored.is_fresh) or ""
        except SixpointError:
            if login.has_expired:
                raise
            self._next_attempt = time.monotonic() + _PAUSE_S
            return login.access_token

    def renew(self, rejected: str) -> str | None:
        """Return the login's token if another program has renewed it, and else renew it."""
        return self._renew(unless=lambda stored: stored.access_token != rejected)

    def _renew(self, *, unless: Callable[[Login], bool]) -> str | None:
        """Renew the login under its lock, unless another program just did; None without a login."""
        if self._file.version() is None:
            # Without a login there may be no folder for the lock, nor the right to make one.
            return None
        # Here, since the import takes 20 ms, and few programs come to this.
        from sixpoint.client.tokens.issuer import Issuer
        from sixpoint.client.tokens.web import Web

        with self._file.locked():
            login = self._load()
            if login is None:
                return None
            if unless(login):
                return login.access_token
            again = f"log in again: sixpoint login --server {self._file.target}"
            if not login.refresh_token:
                raise Unauthenticated(f"the login for {self._file.target} has expired; {again}")
            web = Web(self._context())
            try:
                issuer = Issuer.discover(login.issuer, web=web)
                tokens = issuer.renew(login.refresh_token, client_id=login.client_id, resource=login.resource, web=web)
            except Unauthenticated as error:
                raise Unauthenticated(f"{error.message}; {again}") from None
            renewed = replace(
                login,
                access_token=tokens.access,
                refresh_token=tokens.refresh,
                issued=time.time(),
                expires=tokens.expires,
            )
            self._file.save(renewed)
            self._read = self._file.version(), renewed
            return renewed.access_token

    def _load(self) -> Login | None:
        version = self._file.version()
        login = self._file.load()
        self._read = (version, login) if login else None
        return login
