"""Options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

__all__ = ["AsJson", "Precision", "Repository", "TensorRt", "TritonAddress", "TritonTimeout", "Wait"]


class Precision(StrEnum):
    """In what a network computes."""

    FP32 = "fp32"
    FP16 = "fp16"


class TensorRt(StrEnum):
    """How a model comes to run by TensorRT."""

    ACCELERATOR = "accelerator"
    PLAN = "plan"


Repository = Annotated[
    str, typer.Option(help="Triton's model repository: a folder, or s3://bucket/prefix.", metavar="PATH|URL")
]
TritonAddress = Annotated[
    str | None,
    typer.Option(
        "--triton",
        help="gRPC endpoint of the Triton that serves the repository; it loads and tries the version.",
        metavar="HOST:PORT",
        show_default="none: it is served when Triton next loads it",
    ),
]
TritonTimeout = Annotated[float, typer.Option("--timeout", min=1, help="Seconds that Triton may take to load a model.")]
Wait = Annotated[float, typer.Option(min=0, help="Seconds to wait while another exporter writes to the repository.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
