"""Find the weights that a bundle's config loads: the file, and the entry of the file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from exporter.sources.bundle.data.config import Config
from exporter.sources.bundle.data.expression import Unknown, UnknownValueError
from exporter.sources.bundle.data.transforms import is_disabled
from sixpoint.errors import InvalidArgument

__all__ = ["Weights", "find_weights"]

_USUAL = ("models/model.pt", "models/model.ts")
_NETWORKS = ("network_def", "network", "net")
_SUFFIXES = (".pt", ".pth")


@dataclass(frozen=True)
class Weights:
    """Where a bundle's weights are.

    Attributes:
        file: The file.
        key: Entry of the file that the config loads into the network; empty if the config does not say.
    """

    file: Path
    key: str = ""


def find_weights(root: Path, config: Config, *, name: str, given: Path | None) -> Weights:
    """Find what the config's CheckpointLoader loads; without one, the usual file.

    Args:
        root: Folder of the bundle.
        config: Its config.
        name: Its name in errors.
        given: File of weights that the user names in place of the bundle's own.

    Raises:
        InvalidArgument: The file is missing; or it can be told by running code only which file or which entry it is.
    """
    loaders = list(_loaders(config))
    keys = {_key(config, raw.get("load_dict"), name=name) for raw, _ in loaders} - {""}
    if len(keys) > 1:
        raise InvalidArgument(
            f"{name} loads its network from several entries ({', '.join(sorted(keys))}): save the state dict alone, "
            "and name the file with --weights"
        )
    key = next(iter(keys), "")
    return Weights(given or _file(root, [loader.get("load_path") for _, loader in loaders], name=name), key)


def _loaders(config: Config) -> list[tuple[Mapping[str, Any], dict[str, Any]]]:
    result = []
    for raw, loader in config.targets("CheckpointLoader"):
        try:
            disabled = is_disabled(loader)
        except UnknownValueError:  # usually whether the file exists
            disabled = False
        if not disabled:
            result.append((raw, loader))
    return result


def _file(root: Path, paths: list[Any], *, name: str) -> Path:
    named = [_inside(path) for path in paths if isinstance(path, str)]
    unknown = next((path for path in paths if isinstance(path, Unknown)), None)
    if unknown is not None and not named:
        files = sorted(file for file in root.glob("models/*") if file.suffix in _SUFFIXES)
        files = files or sorted(root.glob("models/*.ts"))
        if len(files) != 1:
            listed = ", ".join(file.name for file in files) or "none"
            raise InvalidArgument(
                f"{name} loads its weights from {unknown.text}, which can be computed by running code only: name the "
                f"file with --weights (in models: {listed})"
            )
        return files[0]
    if len(set(named)) > 1:
        raise InvalidArgument(
            f"{name} loads weights from several files ({', '.join(sorted(set(named)))}): choose one with --weights"
        )
    # A TorchScript file of the same name holds the same weights.
    candidates = [named[0], str(PurePosixPath(named[0]).with_suffix(".ts"))] if named else list(_USUAL)
    for part in candidates:
        if (root / part).is_file():
            return root / part
    raise InvalidArgument(
        f"{name} has no {candidates[0]}: bundles are often distributed without large files; download it with exporter "
        "pull, or name the file with --weights"
    )


def _inside(path: str) -> str:
    """Return a path that the config names, relative to the bundle: from its folder ``models`` on."""
    parts = [part for part in PurePosixPath(path).parts if part not in ("/", ".", "..")]
    first = parts.index("models") if "models" in parts else len(parts) - 1
    return "/".join(["models", *parts[first + 1 if "models" in parts else first :]])


def _key(config: Config, load_dict: Any, *, name: str) -> str:
    """Return the key of ``load_dict`` whose value is the network; empty if the config states none.

    Raises:
        InvalidArgument: It can be told by running code only.
    """
    value = config.get(load_dict[1:]) if isinstance(load_dict, str) and load_dict.startswith("@") else load_dict
    if load_dict is None:
        return ""
    if isinstance(value, Mapping) and value and isinstance(load_dict, Mapping):
        keys = [key for key, text in load_dict.items() if any(config.mentions(text, part) for part in _NETWORKS)]
        if len(load_dict) == 1:
            keys = list(load_dict)
        if len(keys) == 1:
            return str(keys[0])
    elif isinstance(value, Mapping) and len(value) == 1:
        return str(next(iter(value)))
    raise InvalidArgument(
        f"{name} does not state by data which entry of its weights is the network's (load_dict): save the state dict "
        "alone, and name the file with --weights"
    )
