"""Compare annotation networks in rollouts, without servers: six points, five clicks, and points that miss.

python -m benchmarks.rollouts model_repository/annotation runs/one runs/other --data ../shared/data --limit 4

Synthetic bodies that no training has seen come first: compact ones, and those of the usual scenes. The answers are what
the gateway makes of the network's: its own functions run here.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from benchmarks.images.shared_images import shared_images
from benchmarks.rollouts.bodies import synthetic_bodies
from benchmarks.rollouts.session import LocalNetwork, LocalSession
from sixpoint.io.atomic_files import write_file
from sixpoint.model_spec import PromptKind
from trainer.data.structures import Structure, choose_structures
from trainer.evaluation.protocol import StructureResult, evaluate_structure
from trainer.evaluation.tables import to_json, to_markdown

__all__ = ["compare", "compare_networks", "read_structures", "roll_out"]

_COLUMNS = ("points", "1 click", "3 clicks", "5 clicks", "jittered")
_MEASURES = (
    "corrected within 6 cells",
    "corrected within 12 cells",
    "overshoot per corrected",
    "costs over 0.005",
    "costs over 0.05",
)


def read_structures(data: Path | None, *, limit: int | None, bodies: int) -> list[Structure]:
    """Read the structures to evaluate on.

    Args:
        data: Folder of labelled images; None: synthetic bodies only.
        limit: Maximum number of structures of each group of labelled images.
        bodies: Number of synthetic bodies of each of the two kinds.
    """
    images = [*synthetic_bodies(bodies, compact=True), *synthetic_bodies(bodies, compact=False)]
    chosen = list(choose_structures(images))
    if data is not None:
        chosen += choose_structures(shared_images(data), limit=limit)
    return [structure for _, structures in chosen for structure in structures]


def roll_out(network: LocalNetwork, structures: Sequence[Structure]) -> list[StructureResult]:
    """Evaluate a network on structures."""
    results = []
    prompts = [prompt for prompt in network.spec.prompts if prompt != PromptKind.BOX]  # an answer less for each
    for structure in structures:
        session = LocalSession(structure.image, network.spec, network)
        result = evaluate_structure(session, structure, prompts=prompts, baselines={})
        if isinstance(result, StructureResult):
            results.append(result)
    return results


def compare_networks(
    networks: Mapping[str, Path], structures: Sequence[Structure], *, output: Path, half: bool = False
) -> str:
    """Evaluate each network whose figures are not there yet; write the tables, and return the comparison.

    Args:
        networks: Checkpoints, ONNX files, or folders of runs, models or versions, by name.
        structures: Structures to evaluate on.
        output: Folder for the figures.
        half: Whether to compute in bfloat16.
    """
    output.mkdir(parents=True, exist_ok=True)
    figures: dict[str, Any] = {}
    for name, path in networks.items():
        file = output / f"{name}.json"
        if not file.exists():
            results = roll_out(LocalNetwork(path, bfloat16=half), structures)
            file.with_suffix(".md").write_text(to_markdown(results, [], model=name), encoding="utf-8")
            write_file(file, json.dumps(to_json(results, [], model=name), indent=1).encode())
        figures[name] = json.loads(file.read_text(encoding="utf-8"))
        typer.echo(f"{name}: {len(figures[name]['cases'])} structures", err=True)
    text = compare(figures)
    (output / "comparison.md").write_text(text, encoding="utf-8")
    return text


def compare(figures: dict[str, Any]) -> str:
    """Format the figures of networks, by name, as two Markdown tables: means of each group, and measures of clicks."""
    groups = list(dict.fromkeys(group for each in figures.values() for group in each["means"]["dice"]))
    lines = ["| network | " + " | ".join(("group", *_COLUMNS)) + " |", "|" + "---|" * (len(_COLUMNS) + 2)]
    for group in groups:
        for name, each in figures.items():
            row = each["means"]["dice"].get(group, {})
            cells = [f"{row[column]:.4f}" if column in row else "" for column in _COLUMNS]
            lines.append("| " + " | ".join([name, group, *cells]) + " |")
    lines += ["", "| network | clicks | " + " | ".join(_MEASURES) + " |", "|" + "---|" * (len(_MEASURES) + 2)]
    for rows in ("all clicks", "positive", "negative"):
        for name, each in figures.items():
            measured = each["click_measures"].get(rows, {})
            cells = [f"{measured[column]:.3f}" if column in measured else "" for column in _MEASURES]
            lines.append("| " + " | ".join([name, rows, *cells]) + " |")
    return "\n".join(lines) + "\n"


def main(
    networks: Annotated[list[Path], typer.Argument(exists=True, help="Checkpoints, runs, models or ONNX files.")],
    data: Annotated[Path | None, typer.Option(help="Folder of labelled images: volumes/, sarcoma/, ...")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Structures of each group, drawn at random.")] = 4,
    bodies: Annotated[int, typer.Option(min=0, help="Synthetic bodies of each of the two kinds.")] = 16,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the figures.")] = Path("out/rollouts"),
    half: Annotated[bool, typer.Option(help="Compute in bfloat16: faster on processors with AMX.")] = False,
) -> None:
    """Evaluate each network, and write tables. A network whose figures are there already is not evaluated again."""
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
    named = {path.stem if path.suffix else path.name: path for path in networks}
    typer.echo(compare_networks(named, read_structures(data, limit=limit, bodies=bodies), output=output, half=half))


if __name__ == "__main__":
    typer.run(main)
