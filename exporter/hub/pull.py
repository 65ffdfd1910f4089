"""Pull models into a cache folder: from MONAI's model zoo, NGC, Hugging Face, any HTTPS host, or a local file.

URLs are those of ``monai.bundle.download`` (MONAI 1.6) and of Hugging Face's documented Hub API.
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

from exporter.graph.external_data import external_file_names, source_files
from exporter.graph.model_files import sha256_of_files
from exporter.hub.download import ProgressCallback, download, open_client
from exporter.sources.bundle.metadata import licence_of
from exporter.sources.bundle.source import is_bundle, open_bundle
from exporter.sources.checkpoint import read_checkpoint
from sixpoint.errors import ChecksumMismatch, InvalidArgument, NotFound, Unavailable

__all__ = ["HubUrls", "PulledModel", "pull"]

_RECORD = "source.json"
_FORMS = "monai:NAME@VERSION, ngc:ORG/TEAM/NAME@VERSION, hf:OWNER/NAME[@REVISION], https://..., file:PATH"
_WORD = r"[A-Za-z0-9][A-Za-z0-9_.-]*"


@dataclass(frozen=True)
class HubUrls:
    """URLs of model hosts, or of their mirrors.

    Attributes:
        ngc: URL of NVIDIA NGC, which also hosts the archives of MONAI's model zoo.
        hugging_face: URL of the Hugging Face Hub.
    """

    ngc: str = "https://api.ngc.nvidia.com"
    hugging_face: str = "https://huggingface.co"


@dataclass(frozen=True)
class PulledModel:
    """A model in the cache.

    Attributes:
        source: Name of the model as the user gave it.
        path: File or folder for ``exporter export``.
        licence: Licence that the model or its host states; ``unknown`` if neither does.
        sha256: SHA-256 of every file, by name.
    """

    source: str
    path: str
    licence: str
    sha256: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Return the model as a JSON object."""
        return asdict(self)


@dataclass(frozen=True)
class _Listing:
    """Files of a model on its host.

    Attributes:
        name: Name of the model.
        files: URL of every file, by its path in the cache.
        digests: SHA-256 that the host states, by path.
        folder: Whether the model is the folder of its files.
        licence: Licence that the host states; empty if it does not.
    """

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
    """Download a model into the cache, or find it there. A local file is copied again as long as it exists.

    Args:
        source: The model; the help of ``exporter pull`` lists the forms.
        cache: Cache folder; created if necessary.
        digest: Expected SHA-256 of a model of one file; empty: any.
        offline: Whether to use the cache only.
        hosts: URLs of the hosts or their mirrors.
        progress: Function to call as files arrive.

    Raises:
        InvalidArgument: The source has an unknown form, or what arrived is damaged or unsafe.
        NotFound: The model does not exist.
        Unavailable: The host cannot be reached, or ``offline`` is set and the cache does not have the model.
        ChecksumMismatch: A file does not have the expected SHA-256.
    """
    kind, _, rest = source.partition(":")
    local = Path(rest).resolve() if kind == "file" else None
    # The absolute path: what a relative one means depends on the working directory.
    key = source if local is None else f"file:{local}"
    folder = cache / hashlib.sha256(key.encode()).hexdigest()[:16]
    record = folder / _RECORD
    if record.is_file() and not (local is not None and local.is_file()):
        return _read_cached(record, digest)
    if offline and local is None:
        raise Unavailable(f"the cache does not have {source}, and --offline is set")
    record.unlink(missing_ok=True)  # until the download is complete
    path, licence, digests = _download(source, folder, hosts or HubUrls(), digest=digest, progress=progress)
    try:
        licence = _inspect(path) or licence or "unknown"
    except InvalidArgument:
        shutil.rmtree(folder)  # no later command may find unsafe files
        raise
    pulled = PulledModel(source=source, path=str(path), licence=licence, sha256=digests)
    staging = record.with_name(f".{_RECORD}")
    staging.write_text(json.dumps(pulled.to_dict(), indent=2))
    staging.replace(record)
    return pulled


def _read_cached(record: Path, digest: str) -> PulledModel:
    pulled = PulledModel(**json.loads(record.read_text()))
    if digest and digest.lower() not in pulled.sha256.values():
        raise ChecksumMismatch(f"the cache has {pulled.source} with another SHA-256 than {digest}")
    return pulled


def _download(
    source: str, folder: Path, hosts: HubUrls, *, digest: str, progress: ProgressCallback
) -> tuple[Path, str, dict[str, str]]:
    """Download all files of a model.

    Returns:
        Path of the model's file or folder, the licence that the host states, and the SHA-256 of every file.
    """
    digests = {}
    with open_client() as client:
        listing = _list_files(client, source, hosts)
        if digest and len(listing.files) != 1:
            raise InvalidArgument(f"{source} has {len(listing.files)} files: --sha256 is for models of one file")
        for name, url in listing.files.items():
            target = _inside(folder, name)
            target.parent.mkdir(parents=True, exist_ok=True)
            if url.startswith("file:"):
                digests[name] = _copy(Path(url.removeprefix("file:")), target, digest)
            else:
                expected = digest or listing.digests.get(name, "")
                digests[name] = download(client, url, target, sha256=expected, progress=progress)
        path = folder / listing.name if listing.folder else folder / next(iter(listing.files))
        if path.suffix == ".onnx":
            url = next(iter(listing.files.values()))
            digests |= _download_weights(client, path, url, digest=digest, progress=progress)
    return path, listing.licence, digests


def _list_files(client: httpx.Client, source: str, hosts: HubUrls) -> _Listing:
    kind, _, rest = source.partition(":")
    name, _, version = rest.partition("@")
    if kind in {"monai", "ngc"}:
        pattern = _WORD if kind == "monai" else rf"{_WORD}(/{_WORD}){{0,2}}"
        if not re.fullmatch(pattern, name) or not re.fullmatch(_WORD, version):
            raise InvalidArgument(f"{source!r} does not name a model with its version: write {kind}:NAME@VERSION")
        last = name.rpartition("/")[2]
        if kind == "monai":
            path = f"nvidia/monaihosting/{name}/versions/{version}/files/{name}_v{version}.zip"
        else:
            path = f"{name if '/' in name else f'nvidia/monaitoolkit/{name}'}/versions/{version}/zip"
        return _Listing(last, {f"{last}.zip": f"{hosts.ngc}/v2/models/{path}"})
    if kind == "hf":
        if not re.fullmatch(rf"{_WORD}/{_WORD}", name) or not re.fullmatch(_WORD, version or "main"):
            raise InvalidArgument(f"{source!r} does not name a repository: write hf:OWNER/NAME@REVISION")
        return _hugging_face(client, name, version or "main", hosts.hugging_face)
    file = PurePosixPath(httpx.URL(source).path).name if kind in {"https", "http"} else ""
    if kind == "file":
        if Path(rest).is_dir():
            raise InvalidArgument(
                f"{rest} is a folder: name a file in it, or give the folder to exporter export as it is"
            )
        return _Listing(Path(rest).name, {Path(rest).name: source})
    if kind == "https" or (kind == "http" and httpx.URL(source).host in {"127.0.0.1", "localhost"}):
        if not re.fullmatch(_WORD, file):
            raise InvalidArgument(f"{source} does not name a file")
        return _Listing(file, {file: source})
    raise InvalidArgument(f"{source!r} is not a source: expected {_FORMS}")


def _hugging_face(client: httpx.Client, name: str, revision: str, host: str) -> _Listing:
    """List the files of a repository on the Hub, with the SHA-256 that it states for large ones."""
    try:
        response = client.get(f"{host}/api/models/{name}/revision/{revision}", params={"blobs": "true"})
    except httpx.HTTPError as error:
        raise Unavailable(f"{host} cannot be reached ({type(error).__name__})") from error
    if response.status_code != httpx.codes.OK:
        raise NotFound(
            f"{host} returns status {response.status_code} for {name} at {revision}: check name and revision"
        )
    content = response.json()
    entries = [entry for entry in content.get("siblings", []) if not entry["rfilename"].startswith(".")]
    folder = name.rpartition("/")[2]
    return _Listing(
        folder,
        {
            f"{folder}/{entry['rfilename']}": f"{host}/{name}/resolve/{revision}/{entry['rfilename']}"
            for entry in entries
        },
        {f"{folder}/{entry['rfilename']}": entry["lfs"]["sha256"] for entry in entries if entry.get("lfs")},
        folder=True,
        licence=str((content.get("cardData") or {}).get("license", "")),
    )


def _download_weights(
    client: httpx.Client, path: Path, url: str, *, digest: str, progress: ProgressCallback
) -> dict[str, str]:
    """Download the weights files of an ONNX file from beside it; return the SHA-256 of each."""
    try:
        names = external_file_names(path)
    except InvalidArgument:
        shutil.rmtree(path.parent)  # no later command may find unsafe files
        raise
    if names and digest:
        raise InvalidArgument(f"{path.name} has weights in other files: --sha256 is for models of one file")
    if names and url.startswith("file:"):
        source_files(Path(url.removeprefix("file:")))  # refuses links out of its folder
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
    """Read a model as an export would, without running its code; return its licence."""
    if not is_bundle(path):
        if path.suffix in {".pt", ".pth"}:
            read_checkpoint(path)
        return ""
    with open_bundle(path) as bundle:
        if not bundle.scripted:  # a TorchScript file is a program: an export loads it, if the user trusts it
            read_checkpoint(bundle.weights, key=bundle.weights_key)
        return licence_of(bundle.licence)


def _copy(source: Path, target: Path, digest: str) -> str:
    if not source.is_file():
        raise NotFound(f"there is no file {source}")
    actual = sha256_of_files([source])
    if digest and actual != digest.lower():
        raise ChecksumMismatch(f"{source.name} has SHA-256 {actual}, expected {digest}")
    staging = target.with_name(f".{target.name}.partial")
    shutil.copyfile(source, staging)
    staging.replace(target)
    return actual


def _inside(folder: Path, name: str) -> Path:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name:
        raise InvalidArgument(f"the host lists a file that would land outside the cache: {name!r}")
    return folder / path
