"""Dice from six extreme points, through a running gateway, beside the ellipsoid that the points give by themselves.

make serve &
python -m benchmarks.accuracy ../shared/data --output out/accuracy
"""

from __future__ import annotations

import json
import zlib
from collections import defaultdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.progress import track

from benchmarks.cases import Case, all_cases, ellipsoid
from sixpoint.client import Client
from sixpoint.metrics import dice
from sixpoint.preview import render_preview, save_preview
from sixpoint.prompts import ExtremePoints

Row = dict[str, Any]


def main(
    data: Annotated[Path, typer.Argument(help="Folder of labelled images: volumes/, sarcoma/, hippocampus/.")],
    output: Annotated[Path, typer.Option(help="Folder for accuracy.json, accuracy.md and pictures.")] = Path(
        "out/accuracy"
    ),
    server: Annotated[str, typer.Option(envvar="SIXPOINT_SERVER", help="The gateway.")] = "127.0.0.1:50051",
    model: Annotated[str, typer.Option(help="The model.")] = "annotation",
    jitter: Annotated[int, typer.Option(help="Move every coordinate by up to this many voxels, seeded.")] = 0,
    pictures: Annotated[bool, typer.Option(help="Also draw every volume's structures.")] = False,
) -> None:
    """Measure Dice over every structure of at least 300 voxels."""
    console = Console()
    folder = output if pictures else None
    with Client(server) as client:
        cases = track(list(all_cases(data)), description="annotating", console=Console(stderr=True))
        rows = [_measure(client, case, model=model, jitter=jitter, folder=folder) for case in cases]
    output.mkdir(parents=True, exist_ok=True)
    (output / "accuracy.json").write_text(json.dumps(rows, indent=1))
    text = summary(rows)
    (output / "accuracy.md").write_text(text)
    console.print(text, soft_wrap=True)


def summary(rows: list[Row]) -> str:
    """A Markdown table: the mean of each group, of all structures, and of the groups' means."""
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row["group"]].append(row)
    lines = ["| group | structures | network | ellipsoid | network better in |", "|---|---|---|---|---|"]
    lines.extend(_line(group, members) for group, members in groups.items())
    lines.append(_line("**all structures**", rows))
    means = [[np.mean([row[key] for row in members]) for key in ("dice", "ellipsoid")] for members in groups.values()]
    network, baseline = np.mean(means, axis=0)
    lines.append(f"| **mean of groups** | {len(groups)} groups | {network:.3f} | {baseline:.3f} | |")
    return "\n".join(lines) + "\n"


def _line(name: str, rows: list[Row]) -> str:
    network, baseline = (np.array([row[key] for row in rows]) for key in ("dice", "ellipsoid"))
    return (
        f"| {name} | {len(rows)} | {network.mean():.3f} | {baseline.mean():.3f} | "
        f"{np.count_nonzero(network > baseline)} of {len(rows)} |"
    )


def _measure(client: Client, case: Case, *, model: str, jitter: int, folder: Path | None) -> Row:
    exact = ExtremePoints.of_mask(case.truth)
    random = np.random.default_rng(zlib.crc32(f"{case.group} {case.name}".encode()))
    moved = np.array(exact.points) + random.integers(-jitter, jitter + 1, (len(exact.points), 3))
    points = np.clip(moved, 0, np.array(case.image.geometry.size) - 1)
    with client.open_session(case.image, model=model) as session:
        mask = session.annotate(ExtremePoints(points.tolist()))
    if folder and not case.group.startswith("hippocampus"):
        name = f"{case.group}-{case.name}.png".replace(" ", "_")
        save_preview(render_preview(case.image, mask.array, points), folder / name)
    return {
        "group": case.group,
        "name": case.name,
        "voxels": int(np.count_nonzero(case.truth)),
        "ml": round(np.count_nonzero(case.truth) * case.image.geometry.voxel_volume_ml, 2),
        "dice": round(dice(mask.array, case.truth), 4),
        "ellipsoid": round(dice(ellipsoid(points, case.truth.shape), case.truth), 4),
        "model_version": mask.model_version,
    }


if __name__ == "__main__":
    typer.run(main)
