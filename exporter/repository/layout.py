"""Layout of a model repository: names of models and versions, and hidden names of unfinished files.

Triton and ``exporter validate`` ignore hidden names (``.tmp-...``); the next writer removes them.
"""

from __future__ import annotations

import re
import shutil
import uuid
from pathlib import Path

from exporter.repository.config import ModelConfig
from sixpoint.errors import FailedPrecondition, InvalidArgument
from sixpoint.model_spec import ModelSpec

__all__ = [
    "check_model_name",
    "model_folders",
    "remove_leftovers",
    "require_same_interface",
    "temporary_name",
    "version_numbers",
]

_TEMPORARY = ".tmp-"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def check_model_name(name: str) -> None:
    """Check the name of a model, which becomes the name of a folder and part of URLs.

    Raises:
        InvalidArgument: The name has characters that are not allowed.
    """
    if not _NAME.fullmatch(name):
        raise InvalidArgument(f"{name!r} is not a valid model name: use letters, digits, '.', '_' and '-'")


def model_folders(repository: Path) -> list[Path]:
    """Return the folders of models, sorted by name.

    Files, hidden folders, and folders whose names no model can have are no models: file systems and archives leave such
    (``lost+found``, ``__MACOSX``).
    """
    return sorted(path for path in repository.iterdir() if _NAME.fullmatch(path.name) and path.is_dir())


def version_numbers(folder: Path) -> list[int]:
    """Return the versions in a model's folder, oldest first. Like Triton: folders named by a number above 0."""
    names = (path.name for path in folder.iterdir() if path.is_dir())
    return sorted(int(name) for name in names if re.fullmatch(r"[1-9][0-9]*", name))


def require_same_interface(old: ModelConfig, new: ModelConfig) -> None:
    """Refuse a version whose tensors, or their meaning, differ from those of older versions.

    Triton has one config with one spec for all versions of a model.

    Raises:
        FailedPrecondition: The versions differ; the error names what.
    """
    plan = new.backend == "tensorrt"
    if plan != (old.backend == "tensorrt"):
        kind, others, suffix = ("a", "not", "tensorrt") if plan else ("not a", "all", "onnx")
        raise FailedPrecondition(
            f"this is {kind} TensorRT plan, and the existing versions of {new.name} are {others} plans: Triton runs "
            f"all versions of a model by one backend, so publish it under another name (--name {new.name}-{suffix})"
        )
    different = [
        field
        for field, new_value, old_value in (
            ("inputs", new.inputs, old.inputs),
            ("outputs", new.outputs, old.outputs),
            *_batch_fields(old, new),
            *_spec_fields(old.spec, new.spec),
        )
        if new_value != old_value
    ]
    if different:
        raise FailedPrecondition(
            f"the existing versions of {new.name} have other {', '.join(different)}, and Triton has one config for all "
            "versions of a model: export under another --name, or delete the model's folder first"
        )


def _batch_fields(old: ModelConfig, new: ModelConfig) -> list[tuple[str, object, object]]:
    """Compare the largest batches of plans: Triton loads no plan whose own limit is below the config's."""
    if new.backend != "tensorrt":
        return []
    return [("--max-batch-size", new.max_batch_size, old.max_batch_size)]


def _spec_fields(old: ModelSpec | None, new: ModelSpec | None) -> list[tuple[str, object, object]]:
    if old is None or new is None:
        return [("kind (no spec)", new, old)]
    return [
        ("task", new.task, old.task),
        ("labels", new.labels, old.labels),
        ("prompts", new.prompts, old.prompts),
        ("ROI", new.roi, old.roi),
        ("patch", new.patch, old.patch),
        ("input channels", new.input, old.input),
    ]


def remove_leftovers(*folders: Path) -> None:
    """Remove files of writers that were killed. Needs the repository's lock, so that no writer is at work."""
    for folder in folders:
        for path in folder.glob(f"{_TEMPORARY}*"):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


def temporary_name() -> str:
    """Return a new hidden name for a file or folder that is being written."""
    return f"{_TEMPORARY}{uuid.uuid4().hex}"
