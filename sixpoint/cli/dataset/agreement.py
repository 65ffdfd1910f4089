"""Compare annotators, and write what waits for a review to files that need no model to look at."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sixpoint.cli.common import CLI_RETRY, JsonOption, ServerOption, WideOption, print_json
from sixpoint.cli.dataset.group import NameArgument, annotation_facts, case_bar, dataset
from sixpoint.cli.tables import print_table
from sixpoint.client import AnnotationInfo, Client
from sixpoint.datasets import dataset_agreement
from sixpoint.errors import InvalidArgument
from sixpoint.preview import render_preview, save_preview
from sixpoint.protocol import DEFAULT_SERVER

__all__ = ["agreement", "review"]

# A gateway that asks for no identity takes the name that a client sends, which may be none.
_UNNAMED = "(no name)"


@dataset.command(epilog="Example: sixpoint dataset agreement abdomen --tolerance 3")
def agreement(
    name: NameArgument,
    tolerance: Annotated[float, typer.Option(help="Tolerance of NSD in mm.")] = 2.0,
    server: ServerOption = DEFAULT_SERVER,
    wide: WideOption = False,
    as_json: JsonOption = False,
) -> None:
    """Compare the annotations of several people: Dice, NSD and kappa of presence for each label.

    Of each person the latest annotation of an image counts that is submitted or accepted. Labels that one of two does
    not know are not compared.
    """
    with Client(server, retry=CLI_RETRY) as client, case_bar("comparing", quiet=as_json) as progress:
        found = dataset_agreement(client, name, tolerance_mm=tolerance, progress=progress)
    if as_json:
        print_json(asdict(found))
        return
    Console(highlight=False).print(f"cases that several people annotated: {found.case_count}")
    table = Table(box=None, pad_edge=False)
    for heading in ("label", "pairs", "Dice", f"NSD {tolerance:g} mm", "kappa", "worst", "its Dice", "annotators"):
        table.add_column(heading)
    for label in found.labels:
        worst = label.worst
        row = (
            label.label,
            str(label.pair_count),
            _text(label.dice),
            _text(label.nsd),
            _text(label.kappa),
            worst.case_name if worst else "",
            _text(worst.dice) if worst else "",
            ", ".join(name or _UNNAMED for name in worst.annotators) if worst else "",
        )
        table.add_row(*map(escape, row))
    print_table(table, wide=wide)


@dataset.command(epilog="Example: sixpoint dataset review abdomen -o to-review")
def review(
    name: NameArgument,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="New folder for image, masks and picture of each.")
    ] = None,
    case: Annotated[str, typer.Option(help="Only those of this case.")] = "",
    drafts: Annotated[
        bool, typer.Option("--drafts", help="Drafts instead, such as those of `dataset segment`.")
    ] = False,
    server: ServerOption = DEFAULT_SERVER,
    as_json: JsonOption = False,
) -> None:
    """List the annotations that wait for a review, and write them to files: no model is needed to look at them.

    For each annotation the folder gets CASE-vVERSION.png; CASE-vVERSION.seg.nrrd for 3D Slicer, with the names of the
    labels, or where labels overlap CASE-vVERSION-label-NUMBER.nii.gz for each; and once for each case CASE.nii.gz, the
    image. `accept` and `reject` take the id.
    """
    if output is not None and output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise InvalidArgument(f"{output} is not empty; choose a new folder")
    with Client(server, retry=CLI_RETRY) as client, case_bar("writing", quiet=as_json or not output) as progress:
        cases = {image.digest: image.case_name for image in client.datasets.images(name)}
        waiting = [
            info
            for info in reversed(client.datasets.annotations(name, state="draft" if drafts else "submitted"))
            if info.image_digest in cases and case in ("", cases[info.image_digest])
        ]
        for number, info in enumerate(waiting if output else (), 1):
            _write(client, info, cases[info.image_digest], output or Path())
            progress(number, len(waiting))
    if as_json:
        print_json([{"case": cases[info.image_digest], **annotation_facts(info)} for info in waiting])
        return
    console = Console(highlight=False, soft_wrap=True)
    for info in waiting:
        labels = ", ".join(label if count else f"no {label}" for label, count in info.voxel_counts.items())
        console.print(
            escape(
                f"{info.id} {cases[info.image_digest]} version {info.version} by {info.annotator or _UNNAMED}: {labels}"
            )
        )
    if not waiting:
        console.print("there is no draft" if drafts else "no annotation waits for a review; --drafts shows drafts")
    elif output:
        console.print(escape(f"wrote {len(waiting)} to {output}"))


def _write(client: Client, info: AnnotationInfo, case_name: str, folder: Path) -> None:
    """Write the image of an annotation, unless it is there, its masks, and a picture of all of them."""
    masks = client.datasets.masks(info.id)
    volume = client.datasets.download(info.image_digest)
    image = folder / f"{case_name}.nii.gz"
    if not image.exists():
        volume.write(image)
    place = folder / f"{case_name}-v{info.version}"
    if sum(info.voxel_counts.values()) == np.count_nonzero(masks.labels):
        masks.save(f"{place}.seg.nrrd")
    else:
        # Labels overlap, which a label map cannot hold.
        for number, label in masks.names.items():
            masks.mask(label).save(f"{place}-label-{number}.nii.gz")
    if masks.labels.any():
        save_preview(render_preview(volume, (masks.labels > 0).astype(np.uint8)), f"{place}.png")


def _text(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
