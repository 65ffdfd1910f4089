"""Fetching one file over HTTP: resumed where it stopped, hashed as it comes, in its place only when it is whole."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import httpx

from sixpoint.errors import ChecksumMismatch, NotFound, ResourceExhausted, Unavailable

__all__ = ["ProgressCallback", "download"]

ProgressCallback = Callable[[int, int], None]
"""Told how many bytes there are, and how many there will be (0: the host does not say)."""

_MOST_BYTES = 16 * 2**30
_ATTEMPTS = 3


def download(
    client: httpx.Client,
    url: str,
    target: Path,
    *,
    sha256: str = "",
    progress: ProgressCallback = lambda *_: None,
    max_bytes: int = _MOST_BYTES,
) -> str:
    """Fetch a file.

    Args:
        client: Says how long to wait, and follows redirects.
        url: The file's.
        target: Where to put it; its folder is there. What is fetched lies beside it until it is whole.
        sha256: What the file's is expected to be; empty: anything.
        progress: Told after every block.
        max_bytes: The largest file to take.

    Returns:
        The file's SHA-256, in hexadecimal.

    Raises:
        NotFound: The host has no such file, or does not show it to everybody.
        Unavailable: The host cannot be reached, or breaks off again and again.
        ChecksumMismatch: The file is another one; it is removed.
        ResourceExhausted: It is larger than allowed.
    """
    partial, tag = target.with_name(f".{target.name}.partial"), target.with_name(f".{target.name}.etag")
    for attempt in range(_ATTEMPTS):
        try:
            _rest(client, url, partial, tag, progress, max_bytes)
            break
        except httpx.HTTPError as error:
            if attempt == _ATTEMPTS - 1:
                raise Unavailable(
                    f"{httpx.URL(url).host} cannot be reached or broke off ({type(error).__name__}): the same command "
                    "goes on where it stopped"
                ) from error
    with partial.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    tag.unlink(missing_ok=True)
    if sha256 and found != sha256.lower():
        partial.unlink()
        raise ChecksumMismatch(f"{target.name} has SHA-256 {found}, expected {sha256}: it was removed; fetch it again")
    partial.replace(target)
    return found


def _rest(client: httpx.Client, url: str, partial: Path, tag: Path, progress: ProgressCallback, max_bytes: int) -> None:
    """Fetch what is missing; all of it, where the host has another file by now or cannot go on."""
    there = partial.stat().st_size if partial.is_file() else 0
    known = tag.read_text() if tag.is_file() else ""
    headers = {"Accept-Encoding": "identity"}
    if there and known:
        headers |= {"Range": f"bytes={there}-", "If-Range": known}
    with client.stream("GET", url, headers=headers) as response:
        if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:  # it was whole already
            return
        if 400 <= response.status_code < 500:
            raise NotFound(f"{response.url.host} answers {response.status_code} for {url}: check name and version")
        response.raise_for_status()
        if response.status_code != httpx.codes.PARTIAL_CONTENT:
            there = 0
        total = there + int(response.headers.get("Content-Length", 0))
        tag.write_text(response.headers.get("ETag", ""))
        with partial.open("ab" if there else "wb") as file:
            # As they come: blocks of one size would be held back, and lost where the host breaks off.
            for block in response.iter_bytes():
                there += len(block)
                if max(there, total) > max_bytes:
                    raise ResourceExhausted(f"{url} is larger than {max_bytes} bytes")
                file.write(block)
                progress(there, total)
