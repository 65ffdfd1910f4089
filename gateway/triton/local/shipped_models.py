"""Keep a copy of the shipped models that Triton serves and people publish to, so that the checkout stays as it is.

A model is copied once. Later, a version that is new in the checkout is added: it serves if nobody changed the copy of
its model, and lies beside what was published there otherwise. Nothing that was published is overwritten, and a model or
version that was deleted from the copy does not come back.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from pydantic import BaseModel, ConfigDict, ValidationError
from tritonclient.grpc import model_config_pb2

from sixpoint.environment import repository_option
from sixpoint.errors import FailedPrecondition, SixpointError
from sixpoint.io.atomic_files import flush_tree, move_into_place, write_file
from sixpoint.model_spec import SPEC_PARAMETER, ModelSpec

__all__ = ["SHIPPED_MODELS", "served_versions", "update_models"]

SHIPPED_MODELS = Path("model_repository")
"""The shipped models, in the checkout."""

_CONFIG = "config.pbtxt"
_VERSION_RECORD = "version.json"
_RECORD = ".shipped.json"
# The exporter removes leftovers with this prefix, and Triton ignores them.
_TEMPORARY = ".tmp-"
_POLL_SECONDS = 0.1


class _Copied(BaseModel):
    """What was copied of one model.

    Attributes:
        config: SHA-256 of the copied config.
        versions: Numbers of the shipped versions that were copied.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    config: str
    versions: tuple[int, ...]


def update_models(shipped: Path, served: Path, *, wait: float = 10.0) -> list[str]:
    """Copy shipped models, and versions that are new among them, to the repository that Triton serves.

    Args:
        shipped: Model repository in the checkout; it may be missing once the copy exists.
        served: Model repository to serve; created if necessary.
        wait: Seconds to wait for an exporter, or another gateway, that writes there.

    Returns:
        Notes for the operator about what was added.

    Raises:
        FailedPrecondition: Neither folder exists.
        OSError: A file cannot be written.
    """
    if not shipped.is_dir():
        if served.is_dir():
            return []
        raise FailedPrecondition(
            f"there are no models: neither {shipped} with the shipped ones nor {served} exists. Start in the folder of "
            "sixpoint's checkout, or set SIXPOINT_TRITON_MODEL_REPOSITORY"
        )
    served.mkdir(parents=True, exist_ok=True)
    with _lock(served, wait=wait) as locked:
        if not locked:
            return [f"another process is writing to {served}: new shipped versions are added at the next start"]
        record, notes = _read_record(served), []
        for source in sorted(path for path in shipped.iterdir() if (path / _CONFIG).is_file()):
            notes += _update_model(source, served / source.name, record)
            write_file(
                served / _RECORD, json.dumps({name: made.model_dump() for name, made in record.items()}).encode()
            )
    return notes


def served_versions(served: Path) -> list[str]:
    """The models in a repository, each with its versions: ``annotation 4 5``.

    Raises:
        OSError: The folder cannot be read.
    """
    models = sorted(path for path in served.iterdir() if (path / _CONFIG).is_file())
    return [" ".join([model.name, *map(str, _versions(model))]) for model in models]


def _update_model(source: Path, target: Path, record: dict[str, _Copied]) -> list[str]:
    """Bring one model up to date, and change its entry in the record; returns notes."""
    name, copied = source.name, record.get(source.name)
    if not target.exists():
        if copied is None:
            _copy(source, target)
            record[name] = _describe(source)
        return []
    versions = _versions(source)
    new = [number for number in versions if copied is None or number not in copied.versions]
    if not new:
        return []
    if copied is not None and _is_unchanged(target, copied, source):
        _replace(source, target)
        record[name] = _describe(source)
        return [f"{name}: version {versions[-1]} is new in {source.parent} and serves"]
    # A start that was killed may have added some, and the record of what was copied may be lost.
    missing = [number for number in new if not _has(target, source / str(number))]
    if missing and (problem := _obstacle(source, target)):
        return [
            f"{name}: version {missing[-1]} is new in {source.parent} and was not added to {target}, since {problem}"
        ]
    notes = []
    for number in missing:
        free = number if number not in _versions(target) else max(*versions, *_versions(target)) + 1
        _copy(source / str(number), target / str(free))
        notes.append(
            f"{name}: version {number} is new in {source.parent}; it is version {free} in {target}, beside what was "
            f"published there: exporter promote {name} {free} --share 1{repository_option(str(target.parent))}"
        )
    record[name] = _Copied(config=copied.config if copied else "", versions=tuple(versions))
    return notes


def _has(target: Path, version: Path) -> bool:
    """Whether a model has a version already, under any number."""
    return any(_is_same(target / str(number), version) for number in _versions(target))


def _is_same(version: Path, other: Path) -> bool:
    """Whether two folders hold the same version: its record states when it was published, and of what."""
    records = [folder / _VERSION_RECORD for folder in (version, other)]
    return all(record.is_file() for record in records) and records[0].read_bytes() == records[1].read_bytes()


def _describe(source: Path) -> _Copied:
    return _Copied(config=_sha256(source / _CONFIG), versions=tuple(_versions(source)))


def _is_unchanged(target: Path, copied: _Copied, source: Path) -> bool:
    """Whether nobody published, tuned or removed anything since; an update that was killed is no change."""
    configs = {copied.config, _sha256(source / _CONFIG)} - {""}
    present, shipped = set(_versions(target)), set(_versions(source))
    # A config alone proves nothing: after a rollback it is again as it was copied, beside a version that was published.
    added = present - set(copied.versions)
    return (
        _sha256(target / _CONFIG) in configs
        and shipped & set(copied.versions) <= present
        and all(_is_same(target / str(number), source / str(number)) for number in added)
    )


def _replace(source: Path, target: Path) -> None:
    """Turn the copy of a model into a copy of what is shipped now; its config, which decides, before deletions."""
    for number in _versions(source):
        if not (target / str(number)).exists():
            _copy(source / str(number), target / str(number))
    for file in sorted(source.iterdir(), key=lambda path: path.name == _CONFIG):
        if file.is_file():
            write_file(target / file.name, file.read_bytes())
    for number in set(_versions(target)) - set(_versions(source)):
        hidden = target / _temporary_name()
        (target / str(number)).rename(hidden)
        shutil.rmtree(hidden)


def _obstacle(source: Path, target: Path) -> str:
    """Return why a version cannot lie beside those of a changed model; empty if it can."""
    configs = [_read_config(folder) for folder in (source, target)]
    if any(config is None for config in configs):
        return "a config cannot be read"
    if not configs[1].version_policy.specific.versions:
        return "its config there does not name the versions to serve"
    interfaces = [_interface(config) for config in configs]
    if None in interfaces or interfaces[0] != interfaces[1]:
        return "its tensors or their meaning differ from those of the versions there: publish it under another --name"
    return ""


def _read_config(folder: Path) -> Any:
    """Return a model's config; None if it cannot be read."""
    message: Any = model_config_pb2.ModelConfig()
    try:
        return text_format.Parse((folder / _CONFIG).read_text(), message)
    except (OSError, UnicodeDecodeError, text_format.ParseError):
        return None


def _interface(config: Any) -> object:
    """Return what all versions of a model have in common; None for a model without a valid spec."""
    try:
        spec = ModelSpec.from_json(config.parameters[SPEC_PARAMETER].string_value)
    except SixpointError:
        return None
    tensors = [(tensor.name, tensor.data_type, list(tensor.dims)) for tensor in (*config.input, *config.output)]
    return config.backend, tensors, spec.task, spec.labels, spec.prompts, spec.roi, spec.patch, spec.input


@contextlib.contextmanager
def _lock(folder: Path, *, wait: float) -> Iterator[bool]:
    """Hold the lock that the exporter holds while it writes; yields False if another process holds it for too long."""
    descriptor = os.open(folder, os.O_RDONLY)
    end = time.monotonic() + wait
    try:
        while not (locked := _try_lock(descriptor)) and time.monotonic() < end:
            time.sleep(_POLL_SECONDS)
        yield locked
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read_record(served: Path) -> dict[str, _Copied]:
    try:
        content = json.loads((served / _RECORD).read_bytes())
        return {name: _Copied.model_validate(entry) for name, entry in content.items()}
    except (OSError, ValueError, AttributeError, ValidationError):
        return {}


def _copy(source: Path, target: Path) -> None:
    """Copy a folder under a hidden name, and rename it once it is complete."""
    staging = target.with_name(_temporary_name())
    shutil.copytree(source, staging, ignore=shutil.ignore_patterns(f"{_TEMPORARY}*"))
    flush_tree(staging)
    move_into_place(staging, target)


def _temporary_name() -> str:
    return f"{_TEMPORARY}{secrets.token_hex(16)}"


def _versions(folder: Path) -> list[int]:
    """Return the versions in a model's folder, oldest first."""
    names = (path.name for path in folder.iterdir() if path.is_dir())
    return sorted(int(name) for name in names if re.fullmatch(r"[1-9][0-9]*", name))


def _sha256(path: Path) -> str:
    """Return the SHA-256 of a file; empty if it is missing."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
