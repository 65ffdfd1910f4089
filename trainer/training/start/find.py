"""Find the weights that a run starts from: a checkpoint, an ONNX file, or a model of a model repository."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from sixpoint.environment import repository_from_environment
from sixpoint.errors import InvalidArgument
from sixpoint.model_spec import SPEC_PARAMETER, ModelSpec
from trainer.data.spec_files import read_spec
from trainer.training.checkpoint import CHECKPOINT, SPEC, read_weights
from trainer.training.start.onnx_weights import read_onnx_weights

__all__ = ["StartFile", "find_start", "resolve_start"]

_MODEL, _PLAN = "model.onnx", "model.plan"
_RECORD = "version.json"
_CONFIG = "config.pbtxt"
_SHIPPED = Path("model_repository")
_EXPECTED = (
    "a checkpoint, the folder of a run, an ONNX file, or a model of a model repository: its folder, the folder of one "
    "of its versions, or its name"
)


@dataclass(frozen=True, kw_only=True)
class StartFile:
    """A file with weights to start from, and what is known of it.

    Attributes:
        file: Checkpoint or ONNX file.
        name: What it is, for people: ``annotation, version 5``, or the name of the file.
        spec: Spec that the weights belong to. None: nothing beside the file describes it.
        sha256: SHA-256 of the file, joined with its external weights if it has any.
    """

    file: Path
    name: str
    spec: ModelSpec | None
    sha256: str

    @property
    def is_onnx(self) -> bool:
        """Whether the weights are those of an exported model."""
        return self.file.suffix == ".onnx"

    def read(self, spec: ModelSpec) -> dict[str, torch.Tensor]:
        """Read the weights as a state dict in float32.

        Args:
            spec: Spec of the network where nothing beside the file describes it.

        Raises:
            InvalidArgument: The file is damaged, or an ONNX file's weights are not those of its spec's network.
            ModelSpecError: The trainer cannot build the network.
        """
        return read_onnx_weights(self.file, self.spec or spec) if self.is_onnx else read_weights(self.file)


def resolve_start(text: str) -> Path:
    """Return the file that the text of ``--init`` means: a path, or the name of a model in the model repository.

    The model repository is the one that ``gateway serve --local-triton`` serves with this environment; where it has no
    such model, the models that sixpoint ships, in ``model_repository`` in the current folder.

    Raises:
        InvalidArgument: There is neither a file or folder nor a model of this name, the folder holds no weights that
            can be trained, or the model repository is an object store.
    """
    if not text:  # as of an unset variable of a shell; Path takes it for the current folder
        raise InvalidArgument(f"the weights to start from are an empty text: expected {_EXPECTED}")
    path = Path(text)
    if path.exists():
        return _file_in(path)
    address = repository_from_environment()
    is_name = len(path.parts) == 1
    # The model of this name that sixpoint ships may be another one.
    if is_name and "://" in address:
        raise InvalidArgument(
            f"there is nothing to start from at {text}, and models in {address} cannot be started from by name: copy "
            "the model's folder here, and give its path"
        )
    served = Path(address)
    for repository in (served, _SHIPPED) if is_name else ():
        if (repository / text).is_dir():
            return _file_in(repository / text)
    raise InvalidArgument(
        f"there is nothing to start from at {text}, and {served} and {_SHIPPED} have no model of this name: expected "
        f"{_EXPECTED}"
    )


def find_start(path: Path) -> StartFile:
    """Find the weights in a file or folder. The weights are not read yet.

    Args:
        path: Checkpoint, ONNX file, folder of a run, folder of a model in a model repository (its newest version), or
            folder of a version.

    Raises:
        InvalidArgument: The folder holds no weights that can be trained, or its record is damaged.
    """
    file = _file_in(path)
    if not file.is_file():
        raise InvalidArgument(f"there is nothing to start from at {path}: expected {_EXPECTED}")
    if file.suffix != ".onnx":
        beside = file.with_name(SPEC)
        spec = read_spec(beside) if beside.is_file() else None
        return StartFile(file=file, name=file.name, spec=spec, sha256=_sha256(file))
    digest, version = _sha256(file), file.absolute().parent
    record = _read_record(version / _RECORD)
    if record and record.get("sha256", digest) != digest:
        raise InvalidArgument(
            f"{file} is not the file that was published: its SHA-256 differs from {_RECORD}'s; publish the model again"
        )
    name = f"{version.parent.name}, version {version.name}" if version.name.isdecimal() else file.name
    return StartFile(file=file, name=name, spec=_spec_beside(version, record), sha256=digest)


def _file_in(folder: Path) -> Path:
    """Return the file with the weights in a folder; a file is returned as it is."""
    if not folder.is_dir():
        return folder
    for name in (CHECKPOINT, _MODEL):
        if (folder / name).is_file():
            return folder / name
    versions = sorted((path for path in folder.iterdir() if path.name.isdecimal() and path.is_dir()), key=_number)
    newest = versions[-1] if versions else folder
    if (newest / _MODEL).is_file():
        return newest / _MODEL
    if (newest / _PLAN).is_file():
        raise InvalidArgument(
            f"{newest} is a TensorRT plan, whose weights cannot be trained: name the version in ONNX that it was made "
            "of"
        )
    raise InvalidArgument(f"{folder} holds no weights to start from: expected {_EXPECTED}")


def _number(folder: Path) -> int:
    return int(folder.name)


def _read_record(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidArgument(f"{path} cannot be read as JSON: publish the model again") from error
    return record if isinstance(record, dict) else {}


def _spec_beside(version: Path, record: dict[str, Any]) -> ModelSpec | None:
    """Return the spec of an ONNX file: its version's own, that of a file beside it, or that of the model's config."""
    if "spec" in record:
        return ModelSpec.from_mapping(record["spec"])
    if (version / SPEC).is_file():
        return read_spec(version / SPEC)
    config = version.parent / _CONFIG
    return _spec_of_config(config) if version.name.isdecimal() and config.is_file() else None


def _spec_of_config(path: Path) -> ModelSpec | None:
    # Only models that the exporter did not publish need it.
    from google.protobuf import text_format
    from tritonclient.grpc import model_config_pb2

    try:
        config: Any = text_format.Parse(path.read_text(encoding="utf-8"), model_config_pb2.ModelConfig())
    except (OSError, ValueError, text_format.ParseError) as error:
        raise InvalidArgument(f"{path} is not a model config of Triton: {error}") from error
    text = config.parameters[SPEC_PARAMETER].string_value if SPEC_PARAMETER in config.parameters else ""
    return ModelSpec.from_json(text) if text else None


def _sha256(file: Path) -> str:
    """Return the digest of a file, joined with the external weights that the exporter writes beside large models."""
    digest = hashlib.sha256()
    for part in (file, file.with_name(f"{file.name}.data")):
        if part == file or part.is_file():
            try:
                with part.open("rb") as opened:
                    while block := opened.read(2**20):
                        digest.update(block)
            except OSError as error:
                raise InvalidArgument(f"{part} cannot be read: {error.strerror}") from error
    return digest.hexdigest()
