"""Read TorchScript files: scripted or traced networks."""

from __future__ import annotations

import re
import zipfile
import zlib
from pathlib import Path

import torch

from exporter.graph.adapters import network_shape
from exporter.graph.export import OPSET, quiet
from exporter.graph.model_files import MODEL_FILE
from exporter.sources.checkpoint import StateDict, require_finite
from exporter.sources.model import SourceModel, provenance_of
from exporter.sources.onnx import read_onnx
from sixpoint.errors import FailedPrecondition, InvalidArgument
from sixpoint.model_spec import ModelSpec

__all__ = ["is_torchscript", "load_torchscript", "read_script", "script_state"]

_FORBIDDEN = re.compile(rb"\b(torch\.from_file|torch\.save|ops\.aten\.(?:save|from_file)|__torch__\.torch\.classes)\b")
"""TorchScript is a restricted language, but these names read or write files, or call native code."""


def is_torchscript(path: Path) -> bool:
    """Whether a file is a TorchScript archive: a zip with code in it, unlike a checkpoint."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any("/code/" in name for name in archive.namelist())
    except (OSError, zipfile.BadZipFile, zlib.error):
        return False


def load_torchscript(path: Path, spec: ModelSpec, *, folder: Path, notes: tuple[str, ...] = ()) -> SourceModel:
    """Read a model from a TorchScript file and its spec.

    Args:
        path: The TorchScript file.
        spec: Description of the model.
        folder: Folder for intermediate files.
        notes: Notes for the user.

    Raises:
        InvalidArgument: The file cannot be read.
        ModelSpecError: The network's tensors do not match the spec.
        FailedPrecondition: PyTorch cannot export the network.
    """
    script = read_script(path)
    exported = folder / "network" / MODEL_FILE
    exported.parent.mkdir()
    _export_script(script, network_shape(spec), exported)
    provenance = provenance_of(path, "torchscript_sha256", "torch", "onnx")
    return SourceModel(spec=spec, network=script, provenance=provenance, graph=read_onnx(exported, spec), notes=notes)


def read_script(path: Path) -> torch.jit.ScriptModule:
    """Read a TorchScript file, in evaluation mode.

    Raises:
        InvalidArgument: The file cannot be read, its code accesses files, or a weight is not finite.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            code = [archive.read(name) for name in archive.namelist() if "/code/" in name and name.endswith(".py")]
        forbidden = next(filter(None, map(_FORBIDDEN.search, code)), None)
        if forbidden:
            raise InvalidArgument(
                f"{path.name} calls {forbidden[0].decode()}, which no network needs: it is not loaded"
            )
        script = torch.jit.load(path, map_location="cpu").eval()  # type: ignore[no-untyped-call]
    except (OSError, RuntimeError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise InvalidArgument(f"{path.name} is not a TorchScript file, or is truncated or damaged") from error
    require_finite(dict(script.state_dict()), what=path.name)
    return script


def script_state(path: Path) -> StateDict:
    """Read the weights in a TorchScript file, under the names that they have in the scripted network."""
    return dict(read_script(path).state_dict())


def _export_script(script: torch.jit.ScriptModule, shape: tuple[int, ...], path: Path) -> None:
    """Write a TorchScript network as ONNX, without adapters and for any batch size.

    Args:
        script: Network in evaluation mode.
        shape: Shape of its input without the batch axis.
        path: The file to write.

    Raises:
        FailedPrecondition: PyTorch cannot export it.
    """
    example = torch.zeros(2, *shape)
    reason = ""
    # Tracing once more resolves what depends on shapes, which the exporter cannot do for scripted code.
    for convert in (_freeze, lambda module: torch.jit.trace(_freeze(module), example, check_trace=False)):  # type: ignore[no-untyped-call]
        try:
            with quiet(), torch.inference_mode():
                torch.onnx.export(
                    convert(script),
                    (example,),
                    path,
                    dynamo=False,
                    input_names=["input"],
                    output_names=["output"],
                    opset_version=OPSET,
                    dynamic_axes={"input": {0: "batch"}, "output": {0: "batch"}},
                )
            return
        except Exception as error:  # PyTorch's exporter raises errors of a dozen kinds
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    raise FailedPrecondition(
        f"PyTorch cannot export this TorchScript network: {reason}; export the network's state dict with a spec instead"
    )


def _freeze(script: torch.jit.ScriptModule) -> torch.jit.ScriptModule:
    return torch.jit.freeze(script)
