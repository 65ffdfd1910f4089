"""TorchScript files: networks that somebody else wrote, scripted or traced."""

from __future__ import annotations

import re
import zipfile
import zlib
from pathlib import Path

import torch

from exporter.graph.export import OPSET, quiet
from exporter.sources.checkpoint import StateDict, require_finite
from sixpoint.errors import FailedPrecondition, InvalidArgument

__all__ = ["export_script", "is_torchscript", "read_script", "script_state"]

_FORBIDDEN = re.compile(rb"\b(torch\.from_file|torch\.save|ops\.aten\.(?:save|from_file)|__torch__\.torch\.classes)\b")
"""TorchScript is no Python, but these of its words write and read files, or call code of the machine's own."""


def is_torchscript(path: Path) -> bool:
    """Whether a file is a TorchScript archive: a zip with code in it, which a checkpoint is not."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any("/code/" in name for name in archive.namelist())
    except (OSError, zipfile.BadZipFile, zlib.error):
        return False


def read_script(path: Path) -> torch.jit.ScriptModule:
    """Read a TorchScript file, in evaluation mode.

    Raises:
        InvalidArgument: It cannot be read, its code touches files, or its weights are NaN.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            code = [archive.read(name) for name in archive.namelist() if "/code/" in name and name.endswith(".py")]
        found = next(filter(None, map(_FORBIDDEN.search, code)), None)
        if found:
            raise InvalidArgument(f"{path.name} calls {found[0].decode()}, which no network needs: it is not loaded")
        script = torch.jit.load(path, map_location="cpu").eval()  # type: ignore[no-untyped-call]
    except (OSError, RuntimeError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise InvalidArgument(f"{path.name} is no TorchScript file, or cut off or damaged") from error
    require_finite(dict(script.state_dict()), what=path.name)
    return script


def script_state(path: Path) -> StateDict:
    """The weights in a TorchScript file, under the names that they have in the network it was made of."""
    return dict(read_script(path).state_dict())


def export_script(script: torch.jit.ScriptModule, shape: tuple[int, ...], path: Path) -> None:
    """Write a TorchScript network as ONNX, as it is, for any batch size.

    Args:
        script: In evaluation mode.
        shape: Of its input without the batch axis.
        path: The file to write.

    Raises:
        FailedPrecondition: PyTorch cannot export it.
    """
    sample = torch.zeros(2, *shape)
    reason = ""
    # Traced once more, what depends on shapes is worked out, which the exporter cannot do for scripted code.
    for make in (_frozen, lambda one: torch.jit.trace(_frozen(one), sample, check_trace=False)):  # type: ignore[no-untyped-call]
        try:
            with quiet(), torch.inference_mode():
                torch.onnx.export(
                    make(script),
                    (sample,),
                    path,
                    dynamo=False,
                    input_names=["input"],
                    output_names=["output"],
                    opset_version=OPSET,
                    dynamic_axes={"input": {0: "batch"}, "output": {0: "batch"}},
                )
            return
        except Exception as error:  # the exporter raises errors of a dozen kinds
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    raise FailedPrecondition(
        f"PyTorch cannot export this TorchScript network: {reason}; export the network's state dict with a spec instead"
    )


def _frozen(script: torch.jit.ScriptModule) -> torch.jit.ScriptModule:
    return torch.jit.freeze(script)
