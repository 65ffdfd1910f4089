"""A model as its source gives it: spec, network and origin."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from exporter.graph.compose import NetworkGraph
from exporter.graph.external_data import source_files
from exporter.graph.model_files import sha256_of_files
from sixpoint.model_spec import ModelSpec

__all__ = ["SourceModel", "provenance_of"]


@dataclass(frozen=True, kw_only=True)
class SourceModel:
    """A model that was read from its source, ready to be exported.

    Attributes:
        spec: Description of the model.
        network: The network in float32 and evaluation mode; the export is compared with it.
        provenance: SHA-256 of the source and versions of the tools that export it.
        graph: ONNX graph of the network; None: PyTorch exports ``network`` itself.
        reference: Kind of ``network`` as the parity report states it: "pytorch" or "onnx".
        notes: Differences between the source's own pipeline and the gateway's.
    """

    spec: ModelSpec
    network: nn.Module
    provenance: Mapping[str, str]
    graph: NetworkGraph | None = None
    reference: str = "pytorch"
    notes: tuple[str, ...] = ()


def provenance_of(file: Path, key: str, *tools: str) -> dict[str, str]:
    """Return the SHA-256 of a source and the versions of the tools that export it.

    Args:
        file: The source's file; the weights files of an ONNX file count with it.
        key: Name of the digest, as ``checkpoint_sha256``.
        tools: Names of Python packages.
    """
    files = source_files(file) if file.suffix == ".onnx" else [file]
    return {key: sha256_of_files(files), **{tool: importlib.metadata.version(tool) for tool in tools}}
