"""The model card: a README.md in the model's folder, for people; Triton passes it over."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from exporter.checkpoint import sha256
from exporter.model_config import ModelConfig
from sixpoint.spec import Channel, ClickChannel, ImageChannel, ModelSpec

__all__ = ["CARD", "render_card"]

CARD = "README.md"
_END = "<!-- Written by the exporter up to this line, and again with the next version. What follows is yours. -->"


def render_card(config: ModelConfig, *, files: Mapping[int, Path], folder: Path) -> str:
    """The text of a model's card.

    Args:
        config: Of the model.
        files: The ONNX file of each version.
        folder: The model's folder; a card that is there keeps what was written below the exporter's part.
    """
    spec = config.spec
    parts = [f"# {(spec and spec.title) or config.name}"]
    if spec is not None:
        parts += [part for part in (spec.description, _facts(config.name, spec), _measured(spec.metrics)) if part]
        parts += [_table("Provenance", spec.provenance)] if spec.provenance else []
    parts += [_versions(files), _END]
    return "\n\n".join(parts) + "\n" + _own_words(folder)


def _facts(name: str, spec: ModelSpec) -> str:
    x, y, z = spec.roi.size
    channels = "; ".join(map(_channel, spec.input.channels))
    facts = {
        "Name": f"`{name}`",
        "Task": spec.task.value,
        "Prompts": ", ".join(kind.value for kind in spec.prompts),
        "Labels": ", ".join(spec.labels),
        "Modalities": ", ".join(spec.modalities) or "any",
        "Region of interest": f"{x} x {y} x {z} voxels (x, y, z)",
        "Input": f"`{spec.input.name}`, {spec.input.dtype}, {list(spec.input_shape)} [channel, z, y, x]: {channels}",
        "Output": f"`{spec.output.name}`, {spec.output.dtype}, {list(spec.output_shape)} [1, z, y, x]",
        "Threshold": f"{spec.output.threshold:g}",
        "Network": spec.network.name if spec.network else "unknown",
        "Licence": spec.licence,
    }
    return "\n".join(["| | |", "| --- | --- |", *(f"| {key} | {_cell(value)} |" for key, value in facts.items())])


def _channel(channel: Channel) -> str:
    match channel:
        case ImageChannel():
            return f"{channel.kind} ({channel.intensity.method})"
        case ClickChannel():
            return f"{channel.kind} ({channel.sign})"
    return channel.kind


def _measured(metrics: Mapping[str, float]) -> str:
    return _table("Measured", {name: f"{value:.4g}" for name, value in metrics.items()}) if metrics else ""


def _table(title: str, rows: Mapping[str, str]) -> str:
    lines = [f"| {_cell(name)} | {_cell(value)} |" for name, value in rows.items()]
    return "\n".join([f"## {title}", "", "| | |", "| --- | --- |", *lines])


def _versions(files: Mapping[int, Path]) -> str:
    """A table of the versions: what each file's SHA-256 is, and what it says of its own making."""
    lines = ["## Versions", "", "| version | SHA-256 of model.onnx | exported with |", "| --- | --- | --- |"]
    for version, path in files.items():
        facts = _metadata(path)
        tools = ", ".join(f"{tool} {facts[tool]}" for tool in ("torch", "monai", "onnx") if tool in facts)
        lines.append(f"| {version} | `{sha256(path)}` | {tools or 'unknown'} |")
    return "\n".join(lines)


def _metadata(path: Path) -> dict[str, str]:
    """What the exporter noted in an ONNX file; nothing, in a file that is not its own or not whole."""
    try:
        model = onnx.load(path, load_external_data=False)
    except DecodeError:
        return {}
    return {entry.key: entry.value for entry in model.metadata_props}


def _own_words(folder: Path) -> str:
    """What a person wrote below the exporter's part of the present card."""
    path = folder / CARD
    if not path.is_file():
        return ""
    text = path.read_text()
    return text.partition(f"{_END}\n")[2] if _END in text else f"\n{text}"


def _cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", r"\|")
