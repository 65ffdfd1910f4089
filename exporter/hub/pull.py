"""Models of others, fetched into a cache folder: from MONAI's model zoo, NGC, Hugging Face, any HTTPS host, or a file.

URLs as MONAI's own ``monai.bundle.download`` builds them (1.6), and as Hugging Face's Hub API documents them.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

import httpx

from exporter.graph.external_data import external_file_names
from exporter.hub.download import ProgressCallback, download
from exporter.sources.bundle.metadata import licence_of
from exporter.sources.bundle.source import is_bundle, open_bundle
from exporter.sources.checkpoint import read_checkpoint, sha256
from exporter.sources.torchscript import read_script
from sixpoint.errors import ChecksumMismatch, InvalidArgument, NotFound, Unavailable

__all__ = ["HubUrls", "PulledModel", "pull"]

_RECORD = "source.json"
_FORMS = "monai:NAME@VERSION, ngc:ORG/TEAM/NAME@VERSION, hf:OWNER/NAME[@REVISION], https://..., file:PATH"
_WORD = r"[A-Za-z0-9][A-Za-z0-9_.-]*"


@dataclass(frozen=True)
class HubUrls:
    """Where hosts are; a mirror may stand in for each.

    Attributes:
        ngc: NVIDIA's registry, which has the model zoo's archives, too.
        hugging_face: Hugging Face's Hub.
    """

    ngc: str = "https://api.ngc.nvidia.com"
    hugging_face: str = "https://huggingface.co"


@dataclass(frozen=True)
class PulledModel:
    """What was fetched.

    Attributes:
        source: As the user named it.
        path: The file or folder, for ``exporter export``.
        licence: What it or its host says; ``unknown`` where nothing does.
        sha256: Of every file, by its name.
    """

    source: str
    path: str
    licence: str
    sha256: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """As JSON knows it."""
        return asdict(self)


@dataclass(frozen=True)
class _Listing:
    """Files to fetch by name, the SHA-256 that the host states, whether they are one folder, the host's licence."""

    name: str
    files: Mapping[str, str]
    digests: Mapping[str, str] = field(default_factory=dict)
    folder: bool = False
    licence: str = ""


def pull(
    source: str,
    *,
    cache: Path,
    digest: str = "",
    offline: bool = False,
    hosts: HubUrls | None = None,
    progress: ProgressCallback = lambda *_: None,
) -> PulledModel:
    """Fetch a model, or find it in the cache; a file on this machine is copied anew as long as it is there.

    Args:
        source: Which one; see the command's help for the forms.
        cache: The cache folder; made where there is none.
        digest: The SHA-256 that its one file is expected to have.
        offline: Take it from the cache, or fail.
        hosts: Mirrors.
        progress: Told how far each file is.

    Raises:
        InvalidArgument: The source is of no known form, or what came is damaged or dangerous.
        NotFound: There is no such model.
        Unavailable: The host cannot be reached, or ``offline`` and the cache does not have it.
        ChecksumMismatch: A file is not the one that was announced.
    """
    kind, _, rest = source.partition(":")
    local = Path(rest).resolve() if kind == "file" else None
    # Which file a relative path means depends on where the command runs.
    key = source if local is None else f"file:{local}"
    place = cache / hashlib.sha256(key.encode()).hexdigest()[:16]
    record = place / _RECORD
    if record.is_file() and not (local is not None and local.is_file()):
        pulled = PulledModel(**json.loads(record.read_text()))
        if digest and digest.lower() not in pulled.sha256.values():
            raise ChecksumMismatch(f"the cache has {source} with another SHA-256 than {digest}")
        return pulled
    if offline and local is None:
        raise Unavailable(f"the cache does not have {source}, and --offline forbids to fetch it")
    record.unlink(missing_ok=True)  # until all of it is the new one
    timeout = httpx.Timeout(30.0, read=60.0)
    with httpx.Client(follow_redirects=True, timeout=timeout) as client:
        plan = _list_files(client, source, hosts or HubUrls())
        if digest and len(plan.files) != 1:
            raise InvalidArgument(f"{source} is {len(plan.files)} files, and a SHA-256 is of one: leave it out")
        digests = {}
        for name, url in plan.files.items():
            target = _inside(place, name)
            target.parent.mkdir(parents=True, exist_ok=True)
            if url.startswith("file:"):
                digests[name] = _copy(Path(url.removeprefix("file:")), target, digest)
            else:
                expected = digest or plan.digests.get(name, "")
                digests[name] = download(client, url, target, sha256=expected, progress=progress)
        path = place / plan.name if plan.folder else place / next(iter(plan.files))
        if path.suffix == ".onnx":
            digests |= _weights(client, path, next(iter(plan.files.values())), digest=digest, progress=progress)
    try:
        licence = _inspect(path) or plan.licence or "unknown"
    except InvalidArgument:
        shutil.rmtree(place)  # nothing dangerous stays where a later command would find it
        raise
    pulled = PulledModel(source=source, path=str(path), licence=licence, sha256=digests)
    staging = record.with_name(f".{_RECORD}")
    staging.write_text(json.dumps(pulled.to_dict(), indent=2))
    staging.replace(record)
    return pulled


def _list_files(client: httpx.Client, source: str, hosts: HubUrls) -> _Listing:
    kind, _, rest = source.partition(":")
    name, _, version = rest.partition("@")
    if kind in {"monai", "ngc"}:
        pattern = _WORD if kind == "monai" else rf"{_WORD}(/{_WORD}){{0,2}}"
        if not re.fullmatch(pattern, name) or not re.fullmatch(_WORD, version):
            raise InvalidArgument(f"{source!r} names no model with its version: write {kind}:NAME@VERSION")
        last = name.rpartition("/")[2]
        if kind == "monai":
            path = f"nvidia/monaihosting/{name}/versions/{version}/files/{name}_v{version}.zip"
        else:
            path = f"{name if '/' in name else f'nvidia/monaitoolkit/{name}'}/versions/{version}/zip"
        return _Listing(last, {f"{last}.zip": f"{hosts.ngc}/v2/models/{path}"})
    if kind == "hf":
        if not re.fullmatch(rf"{_WORD}/{_WORD}", name) or not re.fullmatch(_WORD, version or "main"):
            raise InvalidArgument(f"{source!r} names no repository: write hf:OWNER/NAME@REVISION")
        return _hugging_face(client, name, version or "main", hosts.hugging_face)
    file = PurePosixPath(httpx.URL(source).path).name if kind in {"https", "http"} else ""
    if kind == "file":
        return _Listing(Path(rest).name, {Path(rest).name: source})
    if kind == "https" or (kind == "http" and httpx.URL(source).host in {"127.0.0.1", "localhost"}):
        if not re.fullmatch(_WORD, file):
            raise InvalidArgument(f"{source} names no file")
        return _Listing(file, {file: source})
    raise InvalidArgument(f"{source!r} is no source: expected {_FORMS}")


def _hugging_face(client: httpx.Client, name: str, revision: str, host: str) -> _Listing:
    """All files of a repository on the Hub, with the SHA-256 that it has of large ones."""
    try:
        response = client.get(f"{host}/api/models/{name}/revision/{revision}", params={"blobs": "true"})
    except httpx.HTTPError as error:
        raise Unavailable(f"{host} cannot be reached ({type(error).__name__})") from error
    if response.status_code != httpx.codes.OK:
        raise NotFound(f"{host} answers {response.status_code} for {name} at {revision}: check name and revision")
    content = response.json()
    entries = [one for one in content.get("siblings", []) if not one["rfilename"].startswith(".")]
    folder = name.rpartition("/")[2]
    return _Listing(
        folder,
        {f"{folder}/{one['rfilename']}": f"{host}/{name}/resolve/{revision}/{one['rfilename']}" for one in entries},
        {f"{folder}/{one['rfilename']}": one["lfs"]["sha256"] for one in entries if one.get("lfs")},
        folder=True,
        licence=str((content.get("cardData") or {}).get("license", "")),
    )


def _weights(client: httpx.Client, path: Path, url: str, *, digest: str, progress: ProgressCallback) -> dict[str, str]:
    """Fetch the files in which an ONNX file's weights lie, from beside it; returns the SHA-256 of each."""
    try:
        names = external_file_names(path)
    except InvalidArgument:
        shutil.rmtree(path.parent)  # nothing dangerous stays where a later command would find it
        raise
    if names and digest:
        raise InvalidArgument(f"{path.name} has its weights in files beside it, and a SHA-256 is of one: leave it out")
    digests = {}
    for name in names:
        target = _inside(path.parent, name)
        target.parent.mkdir(parents=True, exist_ok=True)
        if url.startswith("file:"):
            digests[name] = _copy(Path(url.removeprefix("file:")).parent / name, target, "")
        else:
            digests[name] = download(
                client, str(httpx.URL(url).join(quote(name))), target, sha256="", progress=progress
            )
    return digests


def _inspect(path: Path) -> str:
    """Look at what came as an export would, without running any of it; returns its licence."""
    if not is_bundle(path):
        if path.suffix in {".pt", ".pth"}:
            read_checkpoint(path)
        return ""
    with open_bundle(path) as bundle:
        if bundle.scripted:
            read_script(bundle.weights)
        else:
            read_checkpoint(bundle.weights)
        return licence_of(bundle.licence)


def _copy(source: Path, target: Path, digest: str) -> str:
    if not source.is_file():
        raise NotFound(f"there is no file {source}")
    found = sha256(source)
    if digest and found != digest.lower():
        raise ChecksumMismatch(f"{source.name} has SHA-256 {found}, expected {digest}")
    staging = target.with_name(f".{target.name}.partial")
    shutil.copyfile(source, staging)
    staging.replace(target)
    return found


def _inside(place: Path, name: str) -> Path:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name:
        raise InvalidArgument(f"the host names a file that would land outside of the cache: {name!r}")
    return place / path
