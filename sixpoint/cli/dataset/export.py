"""Export a dataset as a folder, and check such a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from sixpoint.cli.common import CLI_RETRY, JsonOption, ServerOption, print_json
from sixpoint.cli.dataset.group import NameArgument, case_bar, dataset
from sixpoint.client import Client
from sixpoint.datasets import Layout, export_dataset, verify_manifest
from sixpoint.errors import DatasetError
from sixpoint.protocol import DEFAULT_SERVER

__all__ = ["export", "verify"]

FolderArgument = Annotated[Path, typer.Argument(help="Folder of the export.", metavar="FOLDER")]


@dataset.command(
    epilog="Example: sixpoint dataset export abdomen Dataset012_Abdomen --modality CT\n\n"
    "Example: sixpoint dataset export abdomen segmentations --layout dicom-seg --source scans"
)
def export(
    name: NameArgument,
    folder: FolderArgument,
    modality: Annotated[
        str,
        typer.Option(
            help="Modality of the images, such as CT or MRI: trainers normalise by it. For BIDS CT, PET, or the "
            "contrast of MR images, such as T1w. dicom-seg needs none."
        ),
    ] = "",
    layout: Annotated[
        Layout, typer.Option(help="Layout: nnU-Net v2's, the Decathlon's (msd), BIDS with derivatives, or DICOM SEG.")
    ] = Layout.NNUNET,
    label: Annotated[
        list[str] | None, typer.Option("--label", "-l", help="Only these labels; may be repeated.")
    ] = None,
    state: Annotated[str, typer.Option(help="State of the annotations to export.")] = "accepted",
    source: Annotated[
        list[Path] | None,
        typer.Option(
            help="For dicom-seg: folder with the series of the images, in it or within; or dicomweb:URL#STUDY. May be "
            "repeated.",
            metavar="FOLDER",
        ),
    ] = None,
    server: ServerOption = DEFAULT_SERVER,
    as_json: JsonOption = False,
) -> None:
    """Write the images of a dataset, and the latest accepted annotation of each, as a folder for trainers.

    `trainer train` and `trainer evaluate` read nnU-Net's and the Decathlon's layout. manifest.json says from which
    annotations it came. dicom-seg writes a DICOM SEG for each case, without the image: CASE/seg.dcm.
    """
    if source and layout is not Layout.DICOM_SEG:
        raise typer.BadParameter("--source goes with --layout dicom-seg, whose files refer to the series of the images")
    if not modality and layout is not Layout.DICOM_SEG:
        raise typer.BadParameter("--modality is needed, such as CT or MRI: trainers normalise by it")
    with Client(server, retry=CLI_RETRY) as client, case_bar("exporting", quiet=as_json) as progress:
        result = export_dataset(
            client,
            name,
            folder,
            modality=modality,
            layout=layout,
            labels=label or (),
            state=state,
            sources=source or (),
            progress=progress,
        )
    counts = {split: sum(case.split == split for case in result.cases) for split in ("training", "validation", "test")}
    if as_json:
        print_json({"folder": str(folder), "cases": counts, "left_out": result.left_out})
        return
    console = Console(highlight=False, soft_wrap=True)
    listed = ", ".join(f"{count} for {split}" for split, count in counts.items() if count)
    console.print(escape(f"wrote {listed} to {folder}"))
    for case, reason in result.left_out.items():
        console.print(escape(f"left out {case}: {reason}"))


@dataset.command(epilog="Example: sixpoint dataset verify Dataset012_Abdomen")
def verify(folder: FolderArgument, as_json: JsonOption = False) -> None:
    """Check that the files of an export are as they were written."""
    with case_bar("checking", quiet=as_json) as progress:
        differences = verify_manifest(folder, progress=progress)
    if as_json:
        print_json({"folder": str(folder), "differences": differences})
    if differences:
        raise DatasetError(f"{folder} differs from its manifest: {'; '.join(differences)}")
    if not as_json:
        Console(highlight=False).print("all files are as they were exported")
