"""Download a file over HTTP: interrupted downloads resume, and the file appears only when it is complete."""

from __future__ import annotations

import hashlib
import ipaddress
import socket
from collections.abc import Callable
from pathlib import Path

import httpx

from sixpoint.errors import ChecksumMismatch, InvalidArgument, NotFound, ResourceExhausted, Unavailable

__all__ = ["ProgressCallback", "download", "open_client"]

ProgressCallback = Callable[[int, int], None]
"""Function that is called with the bytes received so far and the total (0 if the host does not state it)."""

_MAX_BYTES = 16 * 2**30
_ATTEMPTS = 3


def open_client() -> httpx.Client:
    """Return an HTTP client that follows redirects, but none from a public host into a private network."""
    return httpx.Client(
        follow_redirects=True, timeout=httpx.Timeout(30.0, read=60.0), event_hooks={"response": [_check_redirect]}
    )


def _check_redirect(response: httpx.Response) -> None:
    """Refuse a redirect to a loopback, link-local or private address, unless the host that sends it has one itself.

    Raises:
        InvalidArgument: The redirect leads to such an address.
    """
    if not response.has_redirect_location:
        return
    target = response.url.join(response.headers["Location"])
    if _is_private(target.host) and not _is_private(response.url.host):
        raise InvalidArgument(
            f"{response.url.host} redirects to {target.host}, an address inside a private network, which is not "
            "followed: name the final URL if you trust it"
        )


def _is_private(host: str) -> bool:
    """Whether a host has an address that is not public."""
    try:
        # The name service writes an address in any of its forms (127.1, 0x7f000001, ::ffff:127.0.0.1) as one.
        resolved = {str(entry[4][0]) for entry in socket.getaddrinfo(host, None, proto=socket.IPPROTO_TCP)}
    except (OSError, UnicodeError):  # unknown here; a proxy may know it
        return False
    addresses = [ipaddress.ip_address(address.partition("%")[0]) for address in resolved]
    mapped = [getattr(address, "ipv4_mapped", None) or address for address in addresses]
    return any(not address.is_global or address.is_multicast for address in mapped)


def download(
    client: httpx.Client,
    url: str,
    target: Path,
    *,
    sha256: str = "",
    progress: ProgressCallback = lambda *_: None,
    max_bytes: int = _MAX_BYTES,
) -> str:
    """Download a file.

    Args:
        client: HTTP client with timeouts that follows redirects.
        url: URL of the file.
        target: Path to write; its folder must exist. An incomplete download lies beside it.
        sha256: Expected SHA-256; empty: any.
        progress: Function to call after every block.
        max_bytes: Size limit.

    Returns:
        The file's SHA-256, in hexadecimal.

    Raises:
        NotFound: The host does not have the file, or not for anonymous users.
        Unavailable: The host cannot be reached, or keeps breaking the connection.
        ChecksumMismatch: The SHA-256 differs from the expected one; the file is removed.
        ResourceExhausted: The file exceeds the size limit.
    """
    partial, tag = target.with_name(f".{target.name}.partial"), target.with_name(f".{target.name}.etag")
    for attempt in range(_ATTEMPTS):
        try:
            _resume(client, url, partial, tag, progress, max_bytes)
            break
        except httpx.HTTPError as error:
            if attempt == _ATTEMPTS - 1:
                raise Unavailable(
                    f"{httpx.URL(url).host} cannot be reached or broke the connection ({type(error).__name__}): repeat "
                    "the command to resume"
                ) from error
    with partial.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    tag.unlink(missing_ok=True)
    if sha256 and digest != sha256.lower():
        partial.unlink()
        raise ChecksumMismatch(
            f"{target.name} has SHA-256 {digest}, expected {sha256}: it was removed; download it again"
        )
    partial.replace(target)
    return digest


def _resume(
    client: httpx.Client, url: str, partial: Path, tag: Path, progress: ProgressCallback, max_bytes: int
) -> None:
    """Download the missing part; the whole file if it has changed on the host, or the host supports no ranges."""
    received = partial.stat().st_size if partial.is_file() else 0
    etag = tag.read_text() if tag.is_file() else ""
    headers = {"Accept-Encoding": "identity"}
    if received and etag:
        headers |= {"Range": f"bytes={received}-", "If-Range": etag}
    with client.stream("GET", url, headers=headers) as response:
        if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:  # the download is complete already
            return
        if 400 <= response.status_code < 500:
            raise NotFound(
                f"{response.url.host} returns status {response.status_code} for {url}: check name and version"
            )
        response.raise_for_status()
        if response.status_code != httpx.codes.PARTIAL_CONTENT:
            received = 0
        total = received + int(response.headers.get("Content-Length", 0))
        tag.write_text(response.headers.get("ETag", ""))
        with partial.open("ab" if received else "wb") as file:
            # Without a block size: httpx would buffer incomplete blocks, and lose them when the connection breaks.
            for block in response.iter_bytes():
                received += len(block)
                if max(received, total) > max_bytes:
                    raise ResourceExhausted(f"{url} is larger than {max_bytes} bytes")
                file.write(block)
                progress(received, total)
