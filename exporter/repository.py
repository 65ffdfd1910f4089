"""Putting a version of a model into a Triton model repository, all of it or nothing.

A repository is at every moment one that ``exporter validate`` accepts, whenever the exporter is killed. What is
being written has a hidden name (``.tmp-...``) in the folder where it will be: Triton and ``validate`` pass such names
over, and the next export removes them. A new model appears by one rename of its whole folder. To an existing model
the version is added first, by one rename, and its config replaced after that: both the old config and the new one
describe both versions, since a version with other tensors is refused.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from exporter.card import CARD, VersionFacts, render_card
from exporter.model_config import FILE_NAME, ModelConfig, Tuning
from sixpoint.errors import FailedPrecondition, InvalidArgument
from sixpoint.spec import ModelSpec

__all__ = [
    "MODEL_FILE",
    "check_name",
    "flush",
    "flush_entry",
    "models",
    "publish",
    "remove_leftovers",
    "require_same_interface",
    "temporary_name",
    "versions",
]

MODEL_FILE = "model.onnx"
_TEMPORARY = ".tmp-"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def publish(model: Path, config: ModelConfig, *, repository: Path) -> Path:
    """Add a version of a model.

    Args:
        model: The ONNX file; it is copied.
        config: Of the model, its name included.
        repository: The model repository; made where there is none.

    Returns:
        The version's folder.

    Raises:
        InvalidArgument: The name cannot be a model's.
        FailedPrecondition: Versions already there have other tensors, or another meaning of them; or one is on trial.
    """
    check_name(config.name)
    repository.mkdir(parents=True, exist_ok=True)
    folder = repository / config.name
    with _alone(repository):
        remove_leftovers(repository, folder)
        if (folder / FILE_NAME).exists():
            return _add(model, config, folder)
        return _create(model, config, folder)


def check_name(name: str) -> None:
    """Refuse what cannot name a model: it is a folder's name, and part of URLs.

    Raises:
        InvalidArgument: The name has other characters than those allowed.
    """
    if not _NAME.fullmatch(name):
        raise InvalidArgument(f"{name!r} cannot name a model: use letters, digits, '.', '_' and '-'")


def models(repository: Path) -> list[Path]:
    """The models' folders, by name; hidden ones are none."""
    return sorted(path for path in repository.iterdir() if path.is_dir() and not path.name.startswith("."))


def versions(folder: Path) -> list[int]:
    """The versions of a model in its folder, oldest first, as Triton counts them: folders named by a number above 0."""
    names = (path.name for path in folder.iterdir() if path.is_dir())
    return sorted(int(name) for name in names if re.fullmatch(r"[1-9][0-9]*", name))


def _create(model: Path, config: ModelConfig, folder: Path) -> Path:
    """Make the folder of a new model, with its first version."""
    if folder.exists() and any(folder.iterdir()):
        raise FailedPrecondition(f"{folder} is in the way: it is no model, for it has no {FILE_NAME}")
    staging = folder.parent / temporary_name()
    (staging / "1").mkdir(parents=True)
    shutil.copyfile(model, staging / "1" / MODEL_FILE)
    (staging / FILE_NAME).write_text(config.to_text())
    (staging / CARD).write_text(_card(staging, config))
    flush(staging)
    staging.rename(folder)
    flush_entry(folder.parent)
    return folder / "1"


def _add(model: Path, config: ModelConfig, folder: Path) -> Path:
    """Add a version to a model, then let its config and its card follow."""
    old = ModelConfig.read(folder)
    require_same_interface(old, config)
    if old.candidate is not None:
        raise FailedPrecondition(
            f"version {old.candidate.version} of {config.name} is on trial: end that first "
            f"(exporter promote {config.name} {old.candidate.version} --share 1, or 0)"
        )
    config = replace(config, tuning=old.tuning if config.tuning == Tuning() else config.tuning)
    staging = folder / temporary_name()
    staging.mkdir()
    shutil.copyfile(model, staging / MODEL_FILE)
    flush(staging)
    version = folder / str(max(versions(folder), default=0) + 1)
    staging.rename(version)
    flush_entry(folder)
    _replace(folder / FILE_NAME, config.to_text())
    _replace(folder / CARD, _card(folder, config))
    return version


def _card(folder: Path, config: ModelConfig) -> str:
    files = {version: folder / str(version) / MODEL_FILE for version in versions(folder)}
    facts = {version: VersionFacts.of_file(path) for version, path in files.items() if path.is_file()}
    card = folder / CARD
    return render_card(config, versions=facts, previous=card.read_text() if card.is_file() else "")


def require_same_interface(old: ModelConfig, new: ModelConfig) -> None:
    """Refuse a version with other tensors, or another meaning of them.

    Triton has one config for all versions of a model, with one spec in it: it must be right for the older ones.

    Raises:
        FailedPrecondition: Naming what differs.
    """
    different = [
        what
        for what, mine, theirs in (
            ("inputs", new.inputs, old.inputs),
            ("outputs", new.outputs, old.outputs),
            *_meaning(old.spec, new.spec),
        )
        if mine != theirs
    ]
    if different:
        raise FailedPrecondition(
            f"the versions of {new.name} that are there have other {', '.join(different)}, and Triton describes all "
            "versions of a model alike: export under another --name, or remove the model's folder first"
        )


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


@contextlib.contextmanager
def _alone(repository: Path) -> Iterator[None]:
    """Let one export at a time into a repository."""
    descriptor = os.open(repository, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise FailedPrecondition(f"another export is writing to {repository}: try again when it is done") from error
        yield
    finally:
        os.close(descriptor)


def remove_leftovers(*folders: Path) -> None:
    """Remove what exports that were killed left behind; the lock says that none of it is being written."""
    for folder in folders:
        for path in folder.glob(f"{_TEMPORARY}*"):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


def _replace(path: Path, text: str) -> None:
    staging = path.with_name(temporary_name())
    staging.write_text(text)
    flush_entry(staging)
    staging.replace(path)
    flush_entry(path.parent)


def temporary_name() -> str:
    """A hidden name, which Triton and ``validate`` pass over, for what is being written."""
    return f"{_TEMPORARY}{uuid.uuid4().hex}"


def flush(folder: Path) -> None:
    """Have a folder and all that is in it written to the disk."""
    for path in (*folder.rglob("*"), folder):
        flush_entry(path)


def flush_entry(path: Path) -> None:
    """Have a file, or the names in a folder, written to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
