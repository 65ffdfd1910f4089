"""What a click, a scribble and a lasso gain, on the labelled images beside the project, through a gateway.

make serve &
python -m benchmarks.strokes ../shared/data --limit 60 --json out/strokes.json

Each structure is started by six exact points, and then corrected in each of the three ways, from the same mask: up to
three times, by a click in the middle of the largest error, by a scribble along it, or by a lasso round the largest
error on the worst slice. It is started by a lasso alone, too, on the slice in which it is largest.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from benchmarks.images.shared_images import shared_images
from sixpoint._typing import Bools
from sixpoint.client import Client, Session
from sixpoint.errors import PromptError
from sixpoint.prompts import Box, Click, ExtremePoints, Lasso, Prompt, Scribble
from trainer.data.structures import Structure, choose_structures
from trainer.evaluation.protocol import next_click
from trainer.simulation.simulated_strokes import error_lasso, error_scribble, largest_outline

__all__ = ["as_markdown", "measure"]

CORRECTIONS = 3
Figures = dict[str, float]


def measure(session: Session, structure: Structure) -> Figures | None:
    """Start and correct one structure in all ways; Dice by name, or None for a structure that six points cannot say.

    Args:
        session: Session on the structure's image.
        structure: Structure to outline.
    """
    truth = structure.truth > 0
    points = ExtremePoints.of_mask(truth)
    try:
        index = points.to_index(structure.image.geometry)
    except PromptError:
        return None
    result: Figures = {}

    def send(prompt: Prompt, name: str) -> Bools:
        answer = session.annotate(prompt).array > 0
        result[name] = _dice(answer, truth)
        return answer

    send(Box(index.min(axis=0).tolist(), index.max(axis=0).tolist()), "box")
    outline = Lasso.of_mask(_mask(largest_outline(truth), truth))
    session.reset()
    answer = send(outline, "lasso alone")
    click = next_click(truth, answer)
    result["lasso alone, 1 click"] = result["lasso alone"]
    if click is not None:
        send(Click(click.point, click.positive), "lasso alone, 1 click")
    for kind, draw in _CORRECTIONS.items():
        answer = send(points, "six points")
        for number in range(1, CORRECTIONS + 1):
            name = f"{number} {kind}" if number == 1 else f"{number} {kind}s"
            drawn = draw(truth, answer)
            if drawn is None:
                result[name] = _dice(answer, truth)
                continue
            if isinstance(drawn, Scribble | Lasso) and number == 1:
                enforced = answer.copy()
                enforced[tuple(drawn.voxels(structure.image.geometry).T[::-1])] = drawn.positive
                result[f"{name}, its voxels alone"] = _dice(enforced, truth)
            answer = send(drawn, name)
    return result


def _click(truth: Bools, answer: Bools) -> Prompt | None:
    click = next_click(truth, answer)
    return None if click is None else Click(click.point, click.positive)


def _scribble(truth: Bools, answer: Bools) -> Prompt | None:
    stroke = error_scribble(truth, answer)
    return None if stroke is None else Scribble(stroke.voxels, stroke.positive)


def _lasso(truth: Bools, answer: Bools) -> Prompt | None:
    stroke = error_lasso(truth, answer)
    return None if stroke is None else Lasso.of_mask(_mask(stroke.voxels, truth), stroke.positive)


_CORRECTIONS: Mapping[str, Callable[[Bools, Bools], Prompt | None]] = {
    "click": _click,
    "scribble": _scribble,
    "lasso": _lasso,
}


def as_markdown(figures: Sequence[Figures]) -> str:
    """Format the mean Dices, and how many structures each correction made worse, as a table."""
    lines = ["| prompts | mean Dice | gained | made worse |", "| --- | --- | --- | --- |"]
    for name in figures[0]:
        values = np.array([each[name] for each in figures])
        corrects = name[0].isdigit()
        gained = values - [each["six points"] for each in figures]
        cells = [f"{gained.mean():+.4f}", str(int((gained < -0.001).sum()))] if corrects else ["", ""]
        lines.append(f"| {name} | {values.mean():.4f} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", f"{len(figures)} structures"])


def _dice(answer: Bools, truth: Bools) -> float:
    return 2 * np.count_nonzero(answer & truth) / (np.count_nonzero(answer) + np.count_nonzero(truth))


def _mask(voxels: np.ndarray, like: Bools) -> Bools:
    result = np.zeros(like.shape, np.bool_)
    result[tuple(voxels.T[::-1])] = True
    return result


def main(
    data: Annotated[Path, typer.Argument(help="Folder of labelled images: volumes/, sarcoma/, hippocampus/.")],
    server: Annotated[str, typer.Option(help="Gateway to measure.")] = "127.0.0.1:50051",
    model: Annotated[str, typer.Option(help="Model to measure.")] = "annotation",
    limit: Annotated[int | None, typer.Option(min=1, help="Structures of each group, drawn at random.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="File for the figures of each structure.")] = None,
) -> None:
    """Measure every structure of at least 300 voxels, and print a table."""
    figures: list[tuple[str, str, Figures]] = []
    with Client(server) as client:
        for image, structures in choose_structures(shared_images(data), limit=limit):
            for structure in structures:
                with client.open_session(structure.image, model=model) as session:
                    found = measure(session, structure)
                if found is not None:
                    figures.append((structure.group, structure.name, found))
            typer.echo(f"{image.name}: {len(figures)} structures so far", err=True)
            if json_file:
                # As it goes: it takes an hour on a busy machine.
                json_file.parent.mkdir(parents=True, exist_ok=True)
                json_file.write_text(json.dumps(figures, indent=1))
    typer.echo(as_markdown([found for _, _, found in figures]))


if __name__ == "__main__":
    typer.run(main)
