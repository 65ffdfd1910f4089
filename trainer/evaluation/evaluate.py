"""Evaluate a model on labelled images through a gateway, and write the report."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sixpoint._typing import Array, Points
from sixpoint.client import Client
from sixpoint.errors import DatasetError
from sixpoint.preview import render_preview, save_preview
from trainer.data.structures import LabelledImage, Structure, choose_structures
from trainer.evaluation.protocol import OnResult, SkippedStructure, StructureResult, evaluate_structure
from trainer.simulation.simulated_user import ErrorClick

__all__ = ["Evaluation", "Report", "evaluate_images", "picture_writer", "write_report"]


@dataclass(frozen=True)
class Evaluation:
    """Results of a model on labelled images.

    Attributes:
        model: Name of the model.
        results: Results of the structures, in the order of the groups.
        skipped: Structures that six points cannot describe.
    """

    model: str
    results: tuple[StructureResult, ...]
    skipped: tuple[SkippedStructure, ...]


@dataclass(frozen=True)
class Report:
    """Written report of an evaluation.

    Attributes:
        text: Tables, in Markdown.
        figures: Contents of ``evaluation.json``.
        files: Written files.
    """

    text: str
    figures: dict[str, Any]
    files: tuple[Path, ...]


def evaluate_images(
    images: Sequence[LabelledImage],
    *,
    server: str,
    model: str,
    groups: Sequence[str] = (),
    limit: int | None = None,
    seed: int = 0,
    baselines: bool = True,
    report: Callable[[int, str], None] = lambda _done, _name: None,
    on_result: OnResult | None = None,
) -> Evaluation:
    """Evaluate a model on labelled images.

    Args:
        images: Images with the structures to evaluate on.
        server: Address of the gateway, host:port.
        model: Name of the model.
        groups: Groups to evaluate; empty: all.
        limit: Maximum number of structures per group.
        seed: Seed of the draw for the limit.
        baselines: Whether to evaluate the methods without a network, too.
        report: Callback with the number of finished images and the name of the current image or structure.
        on_result: Callback after each structure, see :func:`~trainer.evaluation.protocol.evaluate_structure`.

    Raises:
        DatasetError: No structure is left to evaluate on.
        SixpointError: An image cannot be read, or the gateway fails.
    """
    # scikit-image and PyMaxflow take long to import.
    from trainer.evaluation.baselines import BASELINES

    results: list[StructureResult] = []
    skipped: list[SkippedStructure] = []
    with Client(server) as client:
        prompts = next((info.prompts for info in client.models() if info.name == model), ())
        report(0, "reading")
        for done, (image, structures) in enumerate(choose_structures(images, groups=groups, limit=limit, seed=seed)):
            if structures:
                with client.open_session(structures[0].image, model=model) as session:
                    for structure in structures:
                        report(done, f"{structure.group}, {structure.name}")
                        result = evaluate_structure(
                            session,
                            structure,
                            prompts=prompts,
                            baselines=BASELINES if baselines else {},
                            on_result=on_result,
                        )
                        results.append(result) if isinstance(result, StructureResult) else skipped.append(result)
            report(done + 1, image.name)
    order = list(dict.fromkeys(group for image in images for group in image.groups))
    if not results:
        wanted = f" in the groups {', '.join(groups)}" if groups else ""
        raise DatasetError(
            f"no structure to evaluate{wanted}; the dataset has the groups: {', '.join(order) or 'none'}"
        )
    # A limit reads the images in random order: the report has the groups in their own order.
    results.sort(key=lambda result: order.index(result.group) if result.group in order else len(order))
    return Evaluation(model, tuple(results), tuple(skipped))


def write_report(evaluation: Evaluation, output: Path) -> Report:
    """Write ``evaluation.md``, ``evaluation.json`` and the plots into a folder."""
    # Matplotlib takes long to import.
    from trainer.evaluation.plots import write_plots
    from trainer.evaluation.tables import to_json, to_markdown

    output.mkdir(parents=True, exist_ok=True)
    text = to_markdown(evaluation.results, evaluation.skipped, model=evaluation.model)
    figures = to_json(evaluation.results, evaluation.skipped, model=evaluation.model)
    (output / "evaluation.md").write_text(text, encoding="utf-8")
    (output / "evaluation.json").write_text(json.dumps(figures, indent=1), encoding="utf-8")
    plots = write_plots(evaluation.results, output)
    return Report(text, figures, (output / "evaluation.md", output / "evaluation.json", *plots))


def picture_writer(folder: Path) -> OnResult:
    """Return a callback that draws each structure: last answer, truth, points and clicks."""

    def write(structure: Structure, mask: Array, points: Points, clicks: Sequence[ErrorClick]) -> None:
        included = [*points.tolist(), *(click.point for click in clicks if click.positive)]
        excluded = [click.point for click in clicks if not click.positive]
        picture = render_preview(structure.image, mask, included, excluded=excluded, truth=structure.truth)
        name = re.sub(r"[^\w.-]+", "_", f"{structure.group}-{structure.name}.png")
        save_preview(picture, folder / name)

    return write
