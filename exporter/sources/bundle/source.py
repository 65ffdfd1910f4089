"""A MONAI Bundle's files: metadata, inference config, weights, licence; in a folder or a zip archive.

Format: MONAI's documentation, "MONAI Bundle Specification".
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from exporter.sources.bundle.archive import unpack
from exporter.sources.bundle.config import Config, read_mapping
from exporter.sources.torchscript import is_torchscript
from sixpoint.errors import InvalidArgument

__all__ = ["Bundle", "is_bundle", "open_bundle"]

_METADATA = "configs/metadata.json"
_CONFIGS = ("configs/inference.json", "configs/inference.yaml", "configs/inference.yml")
_WEIGHTS = ("models/model.pt", "models/model.ts")


@dataclass(frozen=True)
class Bundle:
    """What a bundle holds.

    Attributes:
        name: Its folder's or file's.
        metadata: ``configs/metadata.json``.
        config: ``configs/inference.json`` or ``.yaml``.
        weights: The state dict (``.pt``), or else the TorchScript file (``.ts``) with the same weights.
        licence: The text of its licence; empty where there is none.
    """

    name: str
    metadata: dict[str, Any]
    config: Config
    weights: Path
    licence: str

    @property
    def scripted(self) -> bool:
        """Whether the weights are in a TorchScript file, which holds the network, too."""
        return is_torchscript(self.weights)


def is_bundle(path: Path) -> bool:
    """Whether a path looks like a bundle: a folder with configs, or a zip archive by its name."""
    return (path / "configs").is_dir() if path.is_dir() else path.suffix == ".zip"


@contextlib.contextmanager
def open_bundle(path: Path, *, weights: Path | None = None) -> Iterator[Bundle]:
    """Read a bundle; what a zip archive was unpacked to is gone at the end.

    Args:
        path: Folder or zip archive.
        weights: The file of weights to take instead of the one that the bundle names.

    Raises:
        InvalidArgument: The archive is damaged or dangerous, or a part of the bundle is missing, naming it.
    """
    if path.is_dir():
        yield _read(path, name=path.resolve().name, weights=weights)
        return
    with tempfile.TemporaryDirectory(prefix="sixpoint-bundle-") as folder:
        unpack(path, Path(folder))
        yield _read(_root(Path(folder)), name=path.stem, weights=weights)


def _root(folder: Path) -> Path:
    """Where the bundle begins in an unpacked archive: at its top, or in the one folder that is there."""
    inner = [part for part in folder.iterdir() if part.is_dir() and not part.name.startswith(("__", "."))]
    return inner[0] if not (folder / "configs").is_dir() and len(inner) == 1 else folder


def _read(root: Path, *, name: str, weights: Path | None) -> Bundle:
    if not (root / _METADATA).is_file():
        raise InvalidArgument(f"{name} has no {_METADATA}: it is no MONAI bundle, or not whole")
    found = [root / part for part in _CONFIGS if (root / part).is_file()]
    if not found:
        raise InvalidArgument(f"{name} has no configs/inference.json or .yaml: nothing says what network it holds")
    config = Config(read_mapping(found[0], what="the bundle's"))
    return Bundle(
        name=name,
        metadata=read_mapping(root / _METADATA, what="the bundle's"),
        config=config,
        weights=weights or _weights(root, config, name=name),
        licence="\n".join(file.read_text(errors="replace") for file in sorted(root.glob("LICENSE*")) if file.is_file()),
    )


def _weights(root: Path, config: Config, *, name: str) -> Path:
    """The file that the config's CheckpointLoader reads, or the usual one."""
    named = [loader.get("load_path") for loader in config.targets("CheckpointLoader")]
    usual = [f"models/{PurePosixPath(path).name}" for path in named if isinstance(path, str)]
    candidates = [*usual, *_WEIGHTS]
    for part in candidates:
        if (root / part).is_file():
            return root / part
    raise InvalidArgument(
        f"{name} has no {candidates[0]}: bundles leave large files out; fetch it with exporter pull, or name the file "
        "with --weights"
    )
