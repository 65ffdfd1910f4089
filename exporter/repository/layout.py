"""What a model repository looks like: names of models and versions, hidden names of what is being written.

Triton and ``validate`` pass hidden names (``.tmp-...``) over, and the next writer removes them.
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
    """Refuse what cannot name a model: it is a folder's name, and part of URLs.

    Raises:
        InvalidArgument: The name has other characters than those allowed.
    """
    if not _NAME.fullmatch(name):
        raise InvalidArgument(f"{name!r} cannot name a model: use letters, digits, '.', '_' and '-'")


def model_folders(repository: Path) -> list[Path]:
    """The models' folders, by name; hidden ones are none."""
    return sorted(path for path in repository.iterdir() if path.is_dir() and not path.name.startswith("."))


def version_numbers(folder: Path) -> list[int]:
    """The versions of a model in its folder, oldest first, as Triton counts them: folders named by a number above 0."""
    names = (path.name for path in folder.iterdir() if path.is_dir())
    return sorted(int(name) for name in names if re.fullmatch(r"[1-9][0-9]*", name))


def require_same_interface(old: ModelConfig, new: ModelConfig) -> None:
    """Refuse a version with other tensors, or another meaning of them.

    Triton has one config for all versions of a model, with one spec in it: it must be right for the older ones.

    Raises:
        FailedPrecondition: Naming what differs.
    """
    plan = new.backend == "tensorrt"
    if plan != (old.backend == "tensorrt"):
        mine, theirs, suffix = ("a", "no", "tensorrt") if plan else ("no", "all", "onnx")
        raise FailedPrecondition(
            f"this is {mine} TensorRT plan, and the versions of {new.name} that are there are {theirs} plans: Triton "
            f"runs all versions of a model alike, so give it another name (--name {new.name}-{suffix})"
        )
    different = [
        what
        for what, mine, theirs in (
            ("inputs", new.inputs, old.inputs),
            ("outputs", new.outputs, old.outputs),
            *_largest(old, new),
            *_meaning(old.spec, new.spec),
        )
        if mine != theirs
    ]
    if different:
        raise FailedPrecondition(
            f"the versions of {new.name} that are there have other {', '.join(different)}, and Triton describes all "
            "versions of a model alike: export under another --name, or remove the model's folder first"
        )


def _largest(old: ModelConfig, new: ModelConfig) -> list[tuple[str, object, object]]:
    """A plan takes no larger batches than it was built for, and Triton loads none that takes smaller ones."""
    if new.backend != "tensorrt":
        return []
    return [("--max-batch-size", new.max_batch_size, old.max_batch_size)]


def _meaning(old: ModelSpec | None, new: ModelSpec | None) -> list[tuple[str, object, object]]:
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
    """Remove what writers that were killed left behind; the lock says that none of it is being written."""
    for folder in folders:
        for path in folder.glob(f"{_TEMPORARY}*"):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


def temporary_name() -> str:
    """A hidden name, which Triton and ``validate`` pass over, for what is being written."""
    return f"{_TEMPORARY}{uuid.uuid4().hex}"
