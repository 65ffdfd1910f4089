"""Open a MONAI Bundle, in a folder or a zip archive: metadata, inference config, weights and licence.

Format: MONAI's documentation, "MONAI Bundle Specification".
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exporter.sources.bundle.archive import unpack
from exporter.sources.bundle.data.config import Config
from exporter.sources.bundle.kind import require_3d_segmentation
from exporter.sources.bundle.weights import find_weights
from exporter.sources.mapping import read_mapping
from exporter.sources.torchscript import is_torchscript
from sixpoint.errors import InvalidArgument

__all__ = ["Bundle", "is_bundle", "open_bundle"]

_METADATA = "configs/metadata.json"
_CONFIGS = ("configs/inference.json", "configs/inference.yaml", "configs/inference.yml")


@dataclass(frozen=True)
class Bundle:
    """The parts of a bundle.

    Attributes:
        name: Name of its folder or file.
        metadata: Content of ``configs/metadata.json``.
        config: Content of ``configs/inference.json`` or ``.yaml``.
        weights: File of the state dict (``.pt``), or else of the TorchScript network (``.ts``).
        licence: Text of its licence; empty if it has none.
        weights_key: Entry of the weights file that the config loads into the network; empty if the config does not say.
    """

    name: str
    metadata: dict[str, Any]
    config: Config
    weights: Path
    licence: str
    weights_key: str = ""

    @property
    def scripted(self) -> bool:
        """Whether the weights are in a TorchScript file, which also holds the network."""
        return is_torchscript(self.weights)


def is_bundle(path: Path) -> bool:
    """Whether a path looks like a bundle: a folder with configs, or a zip archive by its name."""
    return (path / "configs").is_dir() if path.is_dir() else path.suffix == ".zip"


@contextlib.contextmanager
def open_bundle(path: Path, *, weights: Path | None = None) -> Iterator[Bundle]:
    """Open a bundle; an unpacked zip archive is deleted at the end.

    Args:
        path: Folder or zip archive.
        weights: File of weights to use in place of the bundle's own.

    Raises:
        InvalidArgument: The archive is damaged or unsafe, or a part of the bundle is missing.
    """
    if path.is_dir():
        yield _read(path, name=path.resolve().name, weights=weights)
        return
    with tempfile.TemporaryDirectory(prefix="sixpoint-bundle-") as folder:
        unpack(path, Path(folder))
        yield _read(_root(Path(folder)), name=path.stem, weights=weights)


def _root(folder: Path) -> Path:
    """Return the bundle's folder in an unpacked archive: its top, or its only folder."""
    inner = [part for part in folder.iterdir() if part.is_dir() and not part.name.startswith(("__", "."))]
    return inner[0] if not (folder / "configs").is_dir() and len(inner) == 1 else folder


def _own(file: Path, root: Path) -> bool:
    """Whether a file is the bundle's: its text is published, and a link may lead to any file of this machine."""
    return file.is_file() and file.resolve().is_relative_to(root.resolve())


def _read(root: Path, *, name: str, weights: Path | None) -> Bundle:
    if not (root / _METADATA).is_file():
        raise InvalidArgument(f"{name} has no {_METADATA}: it is not a MONAI bundle, or is incomplete")
    metadata = read_mapping(root / _METADATA, what="the bundle's")
    configs = [root / part for part in _CONFIGS if (root / part).is_file()]
    config = Config(read_mapping(configs[0], what="the bundle's")) if configs else None
    require_3d_segmentation(name, metadata, config)
    if config is None:
        raise InvalidArgument(f"{name} has no configs/inference.json or .yaml: nothing describes its network")
    located = find_weights(root, config, name=name, given=weights)
    return Bundle(
        name=name,
        metadata=metadata,
        config=config,
        weights=located.file,
        licence="\n".join(
            file.read_text(errors="replace") for file in sorted(root.glob("LICENSE*")) if _own(file, root)
        ),
        weights_key=located.key,
    )
