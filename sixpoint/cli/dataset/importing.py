"""Import a folder, or a study of a DICOMweb server, into a dataset."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from sixpoint.cli.common import CLI_RETRY, JsonOption, ServerOption, print_json
from sixpoint.cli.dataset.group import NameArgument, case_bar, dataset
from sixpoint.client import Client
from sixpoint.datasets import ImportOptions, ImportResult, LabelNaming, SourceLayout, import_dataset, read_source
from sixpoint.protocol import DEFAULT_SERVER

__all__ = ["import_folder"]

_LABEL = re.compile(r"([1-9]\d{0,9})=(.+)")


@dataset.command(
    "import",
    epilog="Example: sixpoint dataset import abdomen Task09_Spleen --dry-run\n\n"
    "Example: sixpoint dataset import abdomen scans --label 1=liver --label 2=spleen --patient '^[^_]+'",
)
def import_folder(
    name: NameArgument,
    source: Annotated[
        Path,
        typer.Argument(help="Folder; or dicomweb:URL#STUDY for a study of a DICOMweb server.", metavar="FOLDER"),
    ],
    layout: Annotated[SourceLayout | None, typer.Option(help="Layout of the folder; by default recognised.")] = None,
    label: Annotated[
        list[str] | None,
        typer.Option(
            "--label",
            "-l",
            help="Label to import, and its name; may be repeated. The others are left, and said to be.",
            metavar="NUMBER=NAME",
        ),
    ] = None,
    leave_out: Annotated[
        list[int] | None, typer.Option(min=1, help="Number of a label that is not imported; may be repeated.")
    ] = None,
    complete: Annotated[
        bool | None,
        typer.Option(
            "--complete/--partial",
            help="Whether a label without voxels is absent, or not known. By default absent in the layouts msd and "
            "nnunet, which say so.",
        ),
    ] = None,
    patient: Annotated[
        str,
        typer.Option(
            help="Regular expression: the part of a case's name that all images of one patient share.", metavar="REGEX"
        ),
    ] = "",
    add_labels: Annotated[bool, typer.Option("--add-labels", help="Add labels that the dataset lacks.")] = False,
    accept: Annotated[bool, typer.Option("--accept", help="Accept the masks; needs the role engineer.")] = False,
    draft: Annotated[bool, typer.Option("--draft", help="Save the masks as drafts.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be imported.")] = False,
    server: ServerOption = DEFAULT_SERVER,
    as_json: JsonOption = False,
) -> None:
    """Add the images of a folder to a dataset, and save their masks as annotations.

    Layouts: images (files), pairs (images/ and labels/), msd (Decathlon), nnunet (v2), bids (with derivatives), dicom
    (folders with a series, and a DICOM SEG beside it). Run it again after an interruption: what is there is not sent
    again. The names of files become names of cases, which others read: they must not tell who the patient is.
    """
    if accept and draft:
        raise typer.BadParameter("--accept and --draft contradict each other; leave one out")
    naming = LabelNaming(_names(label or ()), frozenset(leave_out or ()), complete)
    options = ImportOptions(
        naming=naming, patient=_pattern(patient), add_labels=add_labels, accept=accept, draft=draft, dry_run=dry_run
    )
    found = read_source(source, layout=layout)
    with Client(server, retry=CLI_RETRY) as client, case_bar("importing", quiet=as_json) as progress:
        result = import_dataset(client, name, found, options, progress=progress)
    if as_json:
        cases = [vars(case) for case in result.cases]
        facts = {"layout": found.layout, "dry_run": dry_run, "cases": cases, "left_out": result.left_out}
        labels = {"new_labels": list(result.new_labels), "labels_left": result.labels_left}
        print_json({**facts, **labels})
    else:
        _print(result, layout=found.layout, dry_run=dry_run)


def _print(result: ImportResult, *, layout: str, dry_run: bool) -> None:
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"layout: {layout}")
    if result.new_labels:
        console.print(escape(f"{'would add' if dry_run else 'added'} labels: {', '.join(result.new_labels)}"))
    if result.labels_left:
        labels = ", ".join(f"{number} {label}".strip() for number, label in result.labels_left.items())
        console.print(escape(f"left, since --label names others: {labels}"))
    verb = "would import" if dry_run else "imported"
    for case in result.cases:
        labels = ", ".join(f"{label} {count} voxels" for label, count in case.voxel_counts.items()) or "no masks"
        place = f" ({case.split})" if case.split else ""
        console.print(escape(f"{verb if case.is_new else 'there already:'} {case.case_name}{place}: {labels}"))
    for case_name, reason in result.left_out.items():
        console.print(escape(f"left out {case_name}: {reason}"))
    new = sum(case.is_new for case in result.cases)
    there = len(result.cases) - new
    console.print(f"{verb} {new}, there already {there}, left out {len(result.left_out)}")


def _names(texts: Sequence[str]) -> dict[int, str]:
    names = {}
    for text in texts:
        match = _LABEL.fullmatch(text)
        if not match:
            raise typer.BadParameter(f"--label: expected NUMBER=NAME, such as 1=liver, got {text!r}")
        names[int(match[1])] = match[2].strip()
    return names


def _pattern(text: str) -> re.Pattern[str] | None:
    try:
        return re.compile(text) if text else None
    except re.error as error:
        raise typer.BadParameter(f"--patient: {text!r} is no regular expression: {error}") from error
