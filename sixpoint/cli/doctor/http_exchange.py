"""Ask an HTTP server, and recognise what is none: bounded in time and size, without redirects."""

from __future__ import annotations

import http.client
import json
import re
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import sixpoint
from sixpoint.cli.doctor.http_url import HttpUrl
from sixpoint.client import TlsFiles

__all__ = ["Asker", "NoReply", "Proxy", "Reply", "find_proxy"]

_TIMEOUT_S = 15.0
_MAX_BYTES = 2**20
# An HTTP/2 server begins with SETTINGS: three bytes of length, then the type 4.
_HTTP2 = re.compile(r"^\x00\x00.\x04", re.DOTALL)
_TITLE = re.compile(r"<title[^>]*>\s*(.{1,60}?)\s*</title>", re.IGNORECASE | re.DOTALL)


class NoReply(Exception):
    """A server did not answer by HTTP/1.1.

    Args:
        seen: What it did instead.
        speaks_http2: Whether it began to speak HTTP/2, as gRPC does.
        closed: Whether it closed the connection without a word.
    """

    def __init__(self, seen: str, *, speaks_http2: bool = False, closed: bool = False) -> None:
        super().__init__(seen)
        self.seen = seen
        self.speaks_http2 = speaks_http2
        self.closed = closed


@dataclass(frozen=True)
class Reply:
    """An answer.

    Attributes:
        status: HTTP's status code.
        headers: Headers by name in lower case.
        body: At most the first MiB.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode("utf-8", "replace")

    def json(self) -> object:
        """The body as JSON; None if it is something else."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None

    @property
    def detail(self) -> str:
        """What an error of a gateway says; empty if this is none."""
        return self._field("detail") or self._aiaa_error()

    @property
    def reason(self) -> str:
        """Which error of a gateway this is; empty if it is none."""
        return self._field("reason")

    def _aiaa_error(self) -> str:
        """The sentence of an error in the form of AIAA."""
        content = self.json()
        error = content.get("error") if isinstance(content, dict) else None
        sentences = error.get("message") if isinstance(error, dict) else None
        return " ".join(map(str, sentences)) if isinstance(sentences, list) else ""

    def _field(self, name: str) -> str:
        content = self.json()
        value = content.get(name) if isinstance(content, dict) else None
        return value if isinstance(value, str) else ""

    def describe(self) -> str:
        """Say in a few words who answers, and what."""
        server = self.headers.get("server", "")
        title = _TITLE.search(self.text)
        kind = self.headers.get("content-type", "").partition(";")[0]
        what = f'a page "{" ".join(title[1].split())}"' if title else kind or "nothing readable"
        return f"{server or 'a server'} answers {self.status} with {what}"


@dataclass(frozen=True)
class Proxy:
    """A proxy that programs on this machine use for an address.

    Attributes:
        variable: Environment variable that names it.
        host: Its host.
        port: Its port.
    """

    variable: str
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def find_proxy(url: HttpUrl) -> Proxy | None:
    """Return the proxy that the environment sets for an address; None without one."""
    proxies = urllib.request.getproxies_environment()
    if urllib.request.proxy_bypass(f"{url.address.host}:{url.address.port}"):
        return None
    for name in (url.scheme, "all"):
        if value := proxies.get(name):
            parts = urlsplit(value if "://" in value else f"http://{value}")
            if parts.hostname:
                return Proxy(f"{name.upper()}_PROXY", parts.hostname, parts.port or 80)
    return None


@dataclass(frozen=True)
class Asker:
    """Asks the server at an address.

    Attributes:
        token: Token that goes into the header; empty for none.
        proxy: Proxy to ask through; None to ask directly.
    """

    token: str = field(default="", repr=False)
    proxy: Proxy | None = None

    def get(self, url: HttpUrl) -> Reply:
        """Return the answer to a request.

        Raises:
            NoReply: There is none, or none by HTTP/1.1.
        """
        headers = {"User-Agent": f"sixpoint-doctor/{sixpoint.__version__}", "Connection": "close"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        address, path = url.address, url.path or "/"
        place = self.proxy or address
        connection: http.client.HTTPConnection
        if address.tls:
            context = TlsFiles.from_environment().context()
            connection = http.client.HTTPSConnection(place.host, place.port, timeout=_TIMEOUT_S, context=context)
            if self.proxy:
                connection.set_tunnel(address.host, address.port)
        else:
            connection = http.client.HTTPConnection(place.host, place.port, timeout=_TIMEOUT_S)
            path = f"{url.origin}{path}" if self.proxy else path
        try:
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            names = {name.lower(): value for name, value in response.getheaders()}
            return Reply(response.status, names, response.read(_MAX_BYTES))
        except http.client.RemoteDisconnected:
            raise NoReply("it closes the connection without an answer", closed=True) from None
        except http.client.BadStatusLine as error:
            http2 = bool(_HTTP2.match(str(error.args[0])))
            raise NoReply("it answers something that is no HTTP/1.1", speaks_http2=http2) from None
        except TimeoutError:
            raise NoReply(f"it does not answer within {_TIMEOUT_S:g} s") from None
        except (http.client.HTTPException, ValueError) as error:
            raise NoReply(f"its answer is damaged ({type(error).__name__})") from None
        except OSError as error:
            closed = isinstance(error, ConnectionError)
            raise NoReply(f"the connection breaks ({error.strerror or error})", closed=closed) from None
        finally:
            connection.close()
