"""Load a TorchScript file in a process of its own: export it, save its weights, or run it on inputs.

``python -m exporter.sources.torchscript_worker FOLDER``: ``job.json`` in the folder says what to do, ``result.json``
what came of it. A TorchScript file is a program; this process gives up network, other programs and write access outside
the folder before it loads one. The job ``confine`` loads none: it only says what the system cannot take away.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from exporter.sources.confinement import confine

__all__ = ["main"]


def main(folder: Path) -> None:
    """Do the job of a folder."""
    job = json.loads((folder / "job.json").read_text())
    left = confine(folder)
    unexpected = set(left) - set(job.get("left", left))
    try:
        if unexpected:  # than the user was told
            result = {"error": f"this system could not take {' and '.join(sorted(unexpected))} from it"}
        else:
            result = {} if job["do"] == "confine" else _work(job, folder)
    except Exception as error:  # the file's own code may raise anything
        result = {"error": _reason(error)}
    (folder / "result.json").write_text(json.dumps({**result, "left": left}))


def _work(job: dict[str, Any], folder: Path) -> dict[str, Any]:
    import numpy as np
    import torch

    script = torch.jit.load(job["file"], map_location="cpu").eval()  # type: ignore[no-untyped-call]
    if job["do"] == "run":
        with torch.inference_mode():
            answer = script(torch.from_numpy(np.load(folder / "inputs.npy", allow_pickle=False)))
        np.save(folder / "outputs.npy", answer.numpy())
        return {}
    state = {key: value.detach().clone() for key, value in script.state_dict().items()}
    torch.save(state, folder / "state.pt")
    kinds = {value.dtype for value in state.values() if value.is_floating_point()}
    if kinds - {torch.float32}:
        kind = str(next(iter(kinds - {torch.float32}))).removeprefix("torch.")
        return {"error": f"its weights are {kind}: save it in float32"}
    if job["do"] == "export":
        return _export(script, tuple(job["shape"]), folder)
    return {}


def _export(script: Any, shape: tuple[int, ...], folder: Path) -> dict[str, Any]:
    """Write the network as ``network.onnx``, without adapters and for any batch size."""
    import torch

    from exporter.graph.export import OPSET, quiet

    example = torch.zeros(2, *shape)
    with torch.inference_mode():
        single = script(example[:1])
        if not isinstance(single, torch.Tensor):
            return {"error": f"it returns {type(single).__name__}, expected one tensor"}
        try:
            double = script(example)
        except RuntimeError:
            double = single
    if single.shape[0] != 1 or double.shape[0] != 2:
        return {"error": "it takes batches of 1 only: trace it with a batch of 2 or more, or script it"}
    reason = ""
    # Tracing once more resolves what depends on shapes, which the exporter cannot do for scripted code.
    for again in (False, True):
        try:
            with quiet(), torch.inference_mode():
                frozen: Any = torch.jit.freeze(script)
                if again:
                    frozen = torch.jit.trace(frozen, example, check_trace=False)  # type: ignore[no-untyped-call]
                torch.onnx.export(
                    frozen,
                    (example,),
                    folder / "network.onnx",
                    dynamo=False,
                    input_names=["input"],
                    output_names=["output"],
                    opset_version=OPSET,
                    dynamic_axes={"input": {0: "batch"}, "output": {0: "batch"}},
                )
        except Exception as error:  # PyTorch's exporter raises errors of a dozen kinds
            reason = _reason(error)
        else:
            return {}
    return {"unsupported": reason}


def _reason(error: Exception) -> str:
    """Return the cause of an error of TorchScript, which states it in its last line."""
    if "CUDA" in str(error) or "cuda:" in str(error):
        return "it asks for a CUDA device: trace it on the CPU"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    causes = [line.partition("Error: ")[2] for line in lines if "Error: " in line]
    return (causes or lines[-1:])[-1][:300]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
