"""The routes of OHIF: static files, and its page for every other path, which the page itself understands."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import mimetypes
import re
from pathlib import Path

from fastapi import Response

from gateway.core.runtime import DeadlineLimits
from gateway.http.calls import Call
from gateway.http.door import CallerAddress, Door, HttpRoute
from gateway.http.windows.replies import FileReply
from sixpoint.errors import NotFound

__all__ = ["OhifFiles", "ohif_door"]

_PAGE = "index.html"
# Texts with addresses of their own, to which a token in the caller's address is added.
_ADDRESSED = (_PAGE, "app-config.js")
_MAX_TEXT_BYTES = 2**20
_MAX_PATH = 500
_INLINE = re.compile(r"<script(?![^>]*\ssrc=)[^>]*>(.*?)</script>", re.DOTALL)
_TYPES = {".js": "text/javascript", ".wasm": "application/wasm", ".webapp": "application/manifest+json"}
_POLICY = (
    "default-src 'self'; script-src 'self' 'wasm-unsafe-eval' blob:{more}; worker-src 'self' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
    "connect-src 'self' data: blob:; object-src 'none'; base-uri 'self'; frame-ancestors 'self'"
)


class OhifFiles:
    """Serves a folder.

    Args:
        folder: Folder with ``index.html``.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def show(self, call: Call) -> Response:
        """``GET /ohif/...``."""
        return await asyncio.to_thread(
            self._answer, str(call.request.path_params.get("path", "")), str(call.request.scope.get("root_path", ""))
        )

    def _answer(self, path: str, root: str) -> Response:
        file = self._file(path)
        headers = {"x-content-type-options": "nosniff", "referrer-policy": "same-origin"}
        if file.name in _ADDRESSED and file.parent == self._folder.resolve():
            text = _read_text(file)
            for address in ("/ohif/", "/proxy/dicom"):
                text = re.sub(rf"(?<=[\"'(=]){re.escape(address)}", lambda match: root + match[0], text)
            hashes = "".join(f" 'sha256-{_hash(script)}'" for script in _INLINE.findall(text))
            headers |= {"cache-control": "no-cache", "content-security-policy": _POLICY.format(more=hashes)}
            return Response(text, media_type=_media_type(file), headers=headers)
        # The policy of a script holds where it runs as a worker: those that decode pixels make functions from texts, as
        # the page may not.
        policy = _POLICY.format(more=" 'unsafe-eval'" if file.suffix == ".js" else "")
        headers |= {"cache-control": "private, max-age=3600", "content-security-policy": policy}
        return FileReply(file, media_type=_media_type(file), headers=headers)

    def _file(self, path: str) -> Path:
        """The file of a path; the page for what is no file in the folder, links that lead out of it among them."""
        root = self._folder.resolve()
        if path and "\0" not in path and len(path) <= _MAX_PATH:
            with contextlib.suppress(OSError):
                file = (root / path.lstrip("/")).resolve()
                if file.is_relative_to(root) and file.is_file():
                    return file
        page = root / _PAGE
        if not page.is_file():
            raise NotFound(f"there is no {_PAGE} in the folder that SIXPOINT_OHIF_FOLDER names")
        return page


def ohif_door(folder: Path | None, *, deadlines: DeadlineLimits) -> Door:
    """Build the door.

    Args:
        folder: Folder with OHIF's files; None without one.
        deadlines: Deadline of its calls.
    """
    if folder is None:
        return Door("ohif", "OHIF", [], guide=_no_folder)
    files = OhifFiles(folder)
    # Browsers ask for a page before they have credentials, and the files tell nothing of images or people.
    routes = [HttpRoute("GET", path, files.show, None, deadlines) for path in ("/", "/{path:path}")]
    return Door("ohif", "OHIF", routes)


def _no_folder(_: CallerAddress) -> str:
    return """\
This gateway was given no OHIF: whoever manages it can name a folder with OHIF's files in SIXPOINT_OHIF_FOLDER, such as
monailabel/endpoints/static/ohif of the wheel monailabel, and a DICOMweb server in SIXPOINT_DICOMWEB_URL."""


def _read_text(file: Path) -> str:
    with file.open("rb") as content:
        return content.read(_MAX_TEXT_BYTES).decode("utf-8", "replace")


def _hash(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _media_type(file: Path) -> str:
    kind = _TYPES.get(file.suffix) or mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    return f"{kind}; charset=utf-8" if kind.startswith("text/") else kind
