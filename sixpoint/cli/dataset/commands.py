"""Make datasets, add images and labels, and save sessions."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sixpoint.cli.common import (
    CLI_RETRY,
    JsonOption,
    SeriesOption,
    ServerOption,
    SpacingOption,
    WideOption,
    print_json,
    read_image,
    upload_bar,
)
from sixpoint.cli.dataset.group import NameArgument, annotation_facts, dataset, dataset_facts, image_facts
from sixpoint.cli.tables import print_table
from sixpoint.client import Client, DatasetInfo, DatasetLabel
from sixpoint.protocol import DEFAULT_SERVER

__all__ = ["add", "create", "images", "labels", "list_datasets", "save"]

_LABEL = re.compile(r"(?:(\d+)=)?([^=#]+?)(?:(#[0-9a-fA-F]{6}))?(?:@(\d{6,18}))?")

LabelsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--label",
        "-l",
        help="Label: NAME, NUMBER=NAME, NAME#rrggbb or NAME@CODE (SNOMED CT); may be repeated.",
        metavar="NAME",
    ),
]


@dataset.command(epilog="Example: sixpoint dataset create abdomen -l liver -l spleen --validation 0.2 --test 0.1")
def create(
    name: NameArgument,
    label: LabelsOption = None,
    validation: Annotated[float, typer.Option(help="Share of the patients held out for validation.")] = 0.0,
    test: Annotated[float, typer.Option(help="Share of the patients held out for the final test.")] = 0.0,
    server: ServerOption = DEFAULT_SERVER,
    as_json: JsonOption = False,
) -> None:
    """Make a dataset. The split of an image is decided once, by its patient."""
    with Client(server, retry=CLI_RETRY) as client:
        made = client.datasets.create(name, labels=_labels(label), validation_share=validation, test_share=test)
    _show(made, as_json=as_json)


@dataset.command("list", epilog="Example: sixpoint dataset list")
def list_datasets(server: ServerOption = DEFAULT_SERVER, wide: WideOption = False, as_json: JsonOption = False) -> None:
    """List the datasets."""
    with Client(server, retry=CLI_RETRY) as client:
        infos = client.datasets.all()
    if as_json:
        print_json([dataset_facts(info) for info in infos])
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("dataset", "labels", "images", "accepted", "owner"):
        table.add_column(heading)
    for info in infos:
        names = ", ".join(f"{label.number} {label.name}" for label in info.labels) or "none"
        table.add_row(*map(escape, (info.name, names, str(info.image_count), str(info.accepted_count), info.owner)))
    print_table(table, wide=wide)


@dataset.command(epilog="Example: sixpoint dataset labels abdomen -l kidney")
def labels(
    name: NameArgument, label: LabelsOption = None, server: ServerOption = DEFAULT_SERVER, as_json: JsonOption = False
) -> None:
    """Add labels to a dataset, or show those that it has."""
    with Client(server, retry=CLI_RETRY) as client:
        info = client.datasets.add_labels(name, _labels(label)) if label else client.datasets.get(name)
    _show(info, as_json=as_json)


@dataset.command(
    epilog="Example: sixpoint dataset add abdomen scans/*.nii.gz\n\n"
    "Example: sixpoint dataset add abdomen ct.nii.gz --case 0012-baseline --patient 0012"
)
def add(
    name: NameArgument,
    images: Annotated[list[Path], typer.Argument(help="Images: files, or folders with a DICOM series.")],
    case: Annotated[
        str, typer.Option(help="Name of the case, which is no patient's; by default that of the file.")
    ] = "",
    patient: Annotated[
        str, typer.Option(help="What all images of the patient share: they get one split. Only a keyed hash is stored.")
    ] = "",
    spacing: SpacingOption = "",
    series: SeriesOption = None,
    server: ServerOption = DEFAULT_SERVER,
    as_json: JsonOption = False,
) -> None:
    """Upload images unless the gateway has them, and add them to a dataset.

    The names of the files become names of cases, which others read: give --case if they tell who the patient is.
    """
    if len(images) > 1 and (case or patient):
        raise typer.BadParameter("--case and --patient are for one image; add the images one by one")
    facts = []
    with Client(server, retry=CLI_RETRY) as client:
        for path in images:
            volume = read_image(path, spacing=spacing, series=series)
            with upload_bar(quiet=as_json) as progress:
                image = client.datasets.add_image(
                    name, volume, case_name=case or _case_name(path), patient=patient, progress=progress
                )
            facts.append(image_facts(image))
            if not as_json:
                Console(highlight=False).print(f"added {escape(image.case_name)} ({image.split})")
    if as_json:
        print_json(facts)


@dataset.command(epilog="Example: sixpoint dataset images abdomen --split training")
def images(
    name: NameArgument,
    split: Annotated[str, typer.Option(help="Only images for training, validation or test.")] = "",
    server: ServerOption = DEFAULT_SERVER,
    wide: WideOption = False,
    as_json: JsonOption = False,
) -> None:
    """List the images of a dataset."""
    with Client(server, retry=CLI_RETRY) as client:
        found = client.datasets.images(name, split=split)
    if as_json:
        print_json([image_facts(image) for image in found])
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("case", "split", "annotations", "state", "size", "image"):
        table.add_column(heading)
    for image in found:
        size = image.geometry.size_text if image.geometry else "lost: upload it again"
        state = image.state or "none"
        table.add_row(
            *map(escape, (image.case_name, image.split, str(image.annotation_count), state, size, image.digest[:12]))
        )
    print_table(table, wide=wide)


@dataset.command(epilog="Example: sixpoint dataset save abdomen fqgwjm62dynp8sbxe3vkrhta5c --absent spleen")
def save(
    name: NameArgument,
    session_id: Annotated[str, typer.Argument(help="Id of the session; its segments have names.", metavar="ID")],
    absent: Annotated[
        list[str] | None, typer.Option(help="Label that the image has no voxel of; may be repeated.", metavar="LABEL")
    ] = None,
    draft: Annotated[bool, typer.Option("--draft", help="Save it as a draft: it is not finished.")] = False,
    server: ServerOption = DEFAULT_SERVER,
    as_json: JsonOption = False,
) -> None:
    """Save the segments of a session: each is the label of its name. What is saved does not change any more."""
    with Client(server, retry=CLI_RETRY) as client:
        info = client.datasets.save(name, session_id, absent=absent or (), state="draft" if draft else "submitted")
    if as_json:
        print_json(annotation_facts(info))
    else:
        counts = ", ".join(f"{label} {count} voxels" for label, count in info.voxel_counts.items())
        text = f"saved {info.id} (version {info.version}, {info.state}): {counts}; prompts: {info.prompt_count}"
        Console(highlight=False, soft_wrap=True).print(escape(text))


def _labels(texts: list[str] | None) -> list[DatasetLabel]:
    found = []
    for text in texts or []:
        match = _LABEL.fullmatch(text)
        if not match:
            raise typer.BadParameter(f"--label: expected NAME, NUMBER=NAME, NAME#rrggbb or NAME@CODE, got {text!r}")
        number, name, colour, code = match.groups()
        found.append(DatasetLabel(name, int(number or 0), (colour or "").lower(), code or ""))
    return found


def _case_name(path: Path) -> str:
    """The name of a file without its suffix, or that of a folder."""
    name = path.resolve().name
    for suffix in (".nii.gz", ".seg.nrrd", ".gz"):
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return name if path.is_dir() else Path(name).stem


def _show(info: DatasetInfo, *, as_json: bool) -> None:
    if as_json:
        print_json(dataset_facts(info))
        return
    console = Console(highlight=False, soft_wrap=True)
    console.print(escape(f"{info.name}: images {info.image_count}, accepted {info.accepted_count}"))
    for label in info.labels:
        console.print(escape(f"  {label.number:>3} {label.name} {label.colour} {label.snomed_code}".rstrip()))
