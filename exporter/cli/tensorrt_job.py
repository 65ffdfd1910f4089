"""``exporter tensorrt-job``."""

from __future__ import annotations

from typing import Annotated

import typer

from exporter.cli.console import clear_errors, out
from exporter.cli.options import Repository, address_of

__all__ = ["EPILOG", "tensorrt_job"]

EPILOG = "Example: exporter tensorrt-job liver --gpu NVIDIA-L4 | kubectl apply -f -"


def tensorrt_job(
    name: Annotated[str, typer.Argument(help="Name of the model.")],
    gpu: Annotated[str, typer.Option(help="Value of the node's label nvidia.com/gpu.product.")],
    version: Annotated[
        int | None, typer.Option(min=1, help="Number of the version.", show_default="the serving version")
    ] = None,
    repository: Repository = "",
    image: Annotated[
        str, typer.Option(help="Container image of the Triton that serves the plan.")
    ] = "nvcr.io/nvidia/tritonserver:24.10-py3",
    claim: Annotated[str, typer.Option(help="Volume claim of the repository.")] = "sixpoint-models",
    engines: Annotated[str, typer.Option(help="Volume claim for the plan.")] = "sixpoint-engines",
) -> None:
    """Print a Kubernetes Job that builds a version's TensorRT plan on the node that will serve it."""
    with clear_errors():
        from exporter.publishing.tensorrt import job_manifest
        from exporter.repository.open import open_repository
        from exporter.repository.view import read_record, require_config, require_version, serving_version
        from sixpoint.errors import FailedPrecondition

        models = open_repository(address_of(repository))
        config = require_config(models, name)
        if config.backend == "tensorrt":
            raise FailedPrecondition(
                f"the versions of {name} are TensorRT plans: name the model that has the ONNX versions"
            )
        chosen = require_version(models, name, version or serving_version(models, config) or 0)
        manifest = job_manifest(
            name=name,
            version=chosen,
            input_name=config.inputs[0].name,
            shape=config.inputs[0].dims,
            batch=config.max_batch_size,
            precision="int8" if read_record(models, name, chosen).precision == "int8" else "fp16",
            gpu=gpu,
            image=image,
            claim=claim,
            engines=engines,
        )
        out.print(manifest, markup=False, end="")
