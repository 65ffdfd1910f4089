"""Export the annotation network as TorchScript, for peers that serve such files.

python -m benchmarks.torchscript /tmp/peer/annotation.ts --checkpoint runs/annotation/checkpoint.pt
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
import typer

from exporter.repository.config import ModelConfig
from sixpoint.errors import ModelSpecError
from sixpoint.model_spec import SPEC_PARAMETER
from trainer.training.checkpoint import read_weights
from trainer.training.network import build_network


def main(
    output: Annotated[Path, typer.Argument(help="File to write.")],
    checkpoint: Annotated[
        Path | None, typer.Option(help="Checkpoint; without one, weights are random: as fast, but useless.")
    ] = None,
    model: Annotated[Path, typer.Option(help="Folder of the served model, for its spec.")] = Path(
        "model_repository/annotation"
    ),
) -> None:
    """Trace the network: logits [1, 1, z, y, x] from float32 [1, channel, z, y, x]. The file contains its spec."""
    spec = ModelConfig.read(model).spec
    if spec is None:
        raise ModelSpecError(f"the config of {model.name} has no sixpoint spec: expected a model exported by sixpoint")
    network = build_network(spec)
    if checkpoint is not None:
        network.load_state_dict(read_weights(checkpoint))
    with torch.inference_mode():
        traced = torch.jit.trace(network.eval(), torch.zeros(1, *spec.input_shape))  # type: ignore[no-untyped-call]
    output.parent.mkdir(parents=True, exist_ok=True)
    torch.jit.save(traced, str(output), _extra_files={SPEC_PARAMETER: spec.to_json()})


if __name__ == "__main__":
    typer.run(main)
