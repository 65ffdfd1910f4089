"""Render a model's card: ``README.md`` for people and ``card.json`` for programs. Triton ignores them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from exporter.graph.model_files import model_files, sha256_of_files
from exporter.parity.report import Agreement, ParityReport
from exporter.repository.config import ModelConfig
from exporter.repository.record import TensorRtEngine, VersionRecord
from sixpoint.model_spec import Channel, ClickChannel, ImageChannel, ModelSpec, StrokeChannel

__all__ = ["CARD", "CARD_JSON", "VersionFacts", "render_card", "render_card_json"]

CARD = "README.md"
CARD_JSON = "card.json"
_END = "<!-- Written by the exporter up to this line, and again with the next version. What follows is yours. -->"


@dataclass(frozen=True)
class VersionFacts:
    """Facts about one version on a card; their names are keys of ``card.json``.

    Attributes:
        sha256: SHA-256 of the model's file, joined with its weights file if it has one.
        tools: Versions of the tools that made it, by name.
        published: Time of publication, as ISO 8601 in UTC; empty if unknown.
        precision: Precision in which the network computes: "fp32", "fp16" or "int8".
        parity: Parity report; None if it has none.
        engine: Environment that a TensorRT plan was built in; None for an ONNX file.
    """

    sha256: str
    tools: dict[str, str] = field(default_factory=dict)
    published: str = ""
    precision: str = "fp32"
    parity: ParityReport | None = None
    engine: TensorRtEngine | None = None

    @classmethod
    def of_file(cls, path: Path) -> VersionFacts:
        """Read the facts that an ONNX file states about itself."""
        facts = _metadata(path)
        tools: dict[str, str] = {tool: facts[tool] for tool in ("torch", "monai", "onnx") if tool in facts}
        return cls(sha256_of_files(model_files(path)), tools, precision=facts.get("precision", "fp32"))

    @classmethod
    def of_record(cls, record: VersionRecord, parity: ParityReport | None) -> VersionFacts:
        """Collect the facts about a published version."""
        published = record.published.isoformat(timespec="seconds")
        return cls(record.sha256, record.tools, published, record.precision, parity, record.engine)


def render_card(config: ModelConfig, *, versions: Mapping[int, VersionFacts], previous: str = "") -> str:
    """Return the text of ``README.md``.

    Args:
        config: Config of the model.
        versions: Facts about each version.
        previous: Text of the present card; the part below the exporter's own is preserved.
    """
    spec = config.spec
    parts = [f"# {(spec and spec.title) or config.name}"]
    if spec is not None:
        parts += [part for part in (spec.description, _facts(config.name, spec), _measured(spec.metrics)) if part]
        parts += [_table("Provenance", spec.provenance)] if spec.provenance else []
    parts += [part for part in (_versions(versions), _parity(versions)) if part] + [_END]
    return "\n\n".join(parts) + "\n" + _added_text(previous)


def render_card_json(config: ModelConfig, *, versions: Mapping[int, VersionFacts]) -> str:
    """Return the content of ``card.json``: spec of the serving version, and facts about every version."""
    content = {
        "name": config.name,
        "spec": config.spec.model_dump(mode="json") if config.spec else None,
        "versions": {
            str(version): {
                **asdict(facts),
                "parity": facts.parity and facts.parity.model_dump(),
                "engine": facts.engine and facts.engine.model_dump(),
            }
            for version, facts in versions.items()
        },
    }
    return json.dumps(content, indent=2) + "\n"


def _facts(name: str, spec: ModelSpec) -> str:
    channels = "; ".join(map(_channel, spec.input.channels))
    facts = {
        "Name": f"`{name}`",
        "Task": spec.task.value,
        "Prompts": ", ".join(kind.value for kind in spec.prompts) or "none",
        "Labels": ", ".join(spec.labels),
        "Modalities": ", ".join(spec.modalities) or "any",
        **_window(spec),
        "Input": f"`{spec.input.name}`, {spec.input.dtype}, {list(spec.input_shape)} [channel, z, y, x]: {channels}",
        "Output": f"`{spec.output.name}`, {spec.output.dtype}, {list(spec.output_shape)} [channel, z, y, x]",
        "Threshold": f"{spec.output.threshold:g}" if spec.patch is None else "none: the largest wins",
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
        case StrokeChannel():
            return f"{channel.kind} ({channel.prompt}, {channel.sign})"
    return channel.kind


def _window(spec: ModelSpec) -> dict[str, str]:
    """Return the row about the region or patch that the network sees."""
    x, y, z = (spec.patch or spec.roi).size
    if spec.patch is None:
        return {"Region of interest": f"{x} x {y} x {z} voxels (x, y, z)"}
    spacing = " x ".join(f"{edge:g}" for edge in spec.patch.spacing)
    return {"Patch": f"{x} x {y} x {z} voxels of {spacing} mm (x, y, z), overlap {spec.patch.overlap:g}"}


def _measured(metrics: Mapping[str, float]) -> str:
    return _table("Measured", {name: f"{value:.4g}" for name, value in metrics.items()}) if metrics else ""


def _table(title: str, rows: Mapping[str, str]) -> str:
    lines = [f"| {_cell(name)} | {_cell(value)} |" for name, value in rows.items()]
    return "\n".join([f"## {title}", "", "| | |", "| --- | --- |", *lines])


def _versions(versions: Mapping[int, VersionFacts]) -> str:
    """Return the table of versions, with the SHA-256 and the tools of each."""
    lines = ["## Versions", "", "| version | SHA-256 of the model's files | exported with |", "| --- | --- | --- |"]
    for version, facts in versions.items():
        tools = ", ".join(f"{tool} {number}" for tool, number in facts.tools.items())
        if facts.engine is not None:
            tools += f", TensorRT {facts.engine.tensorrt} on {_cell(facts.engine.gpu)}, driver {facts.engine.driver}"
        lines.append(f"| {version} | `{facts.sha256}` | {tools or 'unknown'} |")
    return "\n".join(lines)


def _parity(versions: Mapping[int, VersionFacts]) -> str:
    """Return the table of parity reports; empty if no version has one."""
    lines = [
        f"| {version} | {facts.precision} | {facts.parity.sample} | {facts.parity.reference} "
        f"| {_agreement(facts.parity.onnxruntime)} | {_agreement(facts.parity.triton)} |"
        for version, facts in versions.items()
        if facts.parity is not None
    ]
    head = ["## Parity", "", "Largest difference of a probability, and Dice of the masks, against the reference.", ""]
    head += [
        "| version | precision | asked | reference | ONNX Runtime | Triton |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    return "\n".join([*head, *lines]) if lines else ""


def _agreement(agreement: Agreement | None) -> str:
    return "" if agreement is None else f"{agreement.largest:.5f}, {agreement.dice:.4f}"


def _metadata(path: Path) -> dict[str, str]:
    """Return the metadata in an ONNX file; empty for a damaged file."""
    try:
        model = onnx.load(path, load_external_data=False)
    except DecodeError:
        return {}
    return {entry.key: entry.value for entry in model.metadata_props}


def _added_text(previous: str) -> str:
    """Return the text that people wrote below the exporter's part of the present card."""
    if not previous:
        return ""
    return previous.partition(f"{_END}\n")[2] if _END in previous else f"\n{previous}"


def _cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", r"\|")
