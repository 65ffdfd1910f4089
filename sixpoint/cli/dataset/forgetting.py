"""Say what is kept of a case or a patient, and remove it for good."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from sixpoint.cli.common import CLI_RETRY, JsonOption, ServerOption, print_json
from sixpoint.cli.dataset.group import NameArgument, annotation_facts, dataset, image_facts
from sixpoint.client import Client, ImageTrace, RemovedImage
from sixpoint.datasets import TrainedVersion, exports_with, versions_trained_on
from sixpoint.environment import repository_from_environment
from sixpoint.protocol import DEFAULT_SERVER

__all__ = ["remove", "traces"]

CaseOption = Annotated[str, typer.Option(help="Name of the case.")]
PatientOption = Annotated[
    str, typer.Option(help="What all images of the patient share, as it was given to `dataset add`.")
]
WholeOption = Annotated[bool, typer.Option("--whole-patient", help="All images of the case's patient.")]
FoldersOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--folder",
        exists=True,
        file_okay=False,
        help="Folder to search for exports; may be repeated.",
        show_default="loops/DATASET",
    ),
]
RepositoryOption = Annotated[
    Path | None,
    typer.Option(
        exists=True,
        file_okay=False,
        help="Folder of the model repository, to find the versions that learnt from the annotations.",
        show_default="the one that is served here",
    ),
]


@dataset.command(epilog="Example: sixpoint dataset traces abdomen --case phantom-1 --whole-patient")
def traces(
    name: NameArgument,
    case: CaseOption = "",
    patient: PatientOption = "",
    whole_patient: WholeOption = False,
    folder: FoldersOption = None,
    repository: RepositoryOption = None,
    server: ServerOption = DEFAULT_SERVER,
    as_json: JsonOption = False,
) -> None:
    """Say what is kept of a case or a patient: images, annotations, sessions, exports, and versions of models.

    Exports are found by their manifest.json. Copies elsewhere, such as downloads and backups, are not known.
    """
    with Client(server, retry=CLI_RETRY) as client:
        found = client.datasets.trace(name, case_name=case, patient=patient, whole_patient=whole_patient)
    copies = _copies(name, found, folder, repository)
    if as_json:
        print_json(_facts(found, *copies))
    else:
        _print_traces(found, *copies)


@dataset.command(epilog="Example: sixpoint dataset remove abdomen --patient 0012 --yes")
def remove(
    name: NameArgument,
    case: CaseOption = "",
    patient: PatientOption = "",
    whole_patient: WholeOption = False,
    end_sessions: Annotated[
        bool, typer.Option("--end-sessions", help="End all open sessions on the images, whoever works in them.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Remove it; without this, only say what would be removed.")
    ] = False,
    folder: FoldersOption = None,
    repository: RepositoryOption = None,
    server: ServerOption = DEFAULT_SERVER,
    as_json: JsonOption = False,
) -> None:
    """Remove a case or a patient for good: annotations, their sessions, and voxels that nothing else uses.

    Exports are not changed, and networks do not forget: it names the exports to make again, and the versions to train
    again. Without --yes nothing is removed.
    """
    with Client(server, retry=CLI_RETRY) as client:
        found = client.datasets.trace(name, case_name=case, patient=patient, whole_patient=whole_patient)
        exports, versions = _copies(name, found, folder, repository)
        removed: Sequence[RemovedImage] = ()
        if yes:
            removed = client.datasets.remove(
                name, case_name=case, patient=patient, whole_patient=whole_patient, end_sessions=end_sessions
            )
    if as_json:
        print_json(
            {
                **_facts(found, exports, versions),
                "dry_run": not yes,
                "removed": [_removed_facts(each) for each in removed],
            }
        )
        return
    console = Console(highlight=False, soft_wrap=True)
    if not yes:
        _print_traces(found, exports, versions)
        console.print("nothing was removed; say --yes to remove this from the dataset")
        return
    for each in removed:
        voxels = "voxels deleted" if each.voxels_removed else "voxels stay while something else uses them"
        text = f"removed {each.image.case_name}: annotations {each.annotation_count}, sessions {each.session_count}"
        console.print(escape(f"{text}, {voxels}"))
    _print_copies(exports, versions, again=True)


def _copies(
    name: str, found: Sequence[ImageTrace], folders: Sequence[Path] | None, repository: Path | None
) -> tuple[list[Path], list[TrainedVersion] | None]:
    """The exports that have the images, and the versions that learnt from them; None if no repository is at hand."""
    digests = {trace.image.digest for trace in found}
    loop = Path("loops") / name
    searched = folders or ([loop] if loop.is_dir() else [])
    exports = [path for each in searched for path in exports_with(each, digests)]
    if repository is None:
        address = repository_from_environment()
        if "://" in address or not Path(address).is_dir():
            return exports, None
        repository = Path(address)
    masks = {annotation.digest for trace in found for annotation in trace.annotations}
    return exports, versions_trained_on(repository, masks)


def _facts(
    found: Sequence[ImageTrace], exports: Sequence[Path], versions: Sequence[TrainedVersion] | None
) -> dict[str, Any]:
    return {
        "images": [
            {
                **image_facts(trace.image),
                "annotation_list": [annotation_facts(each) for each in trace.annotations],
                "other_datasets": trace.other_datasets,
                "sessions": [vars(session) for session in trace.sessions],
                "served_versions": [vars(version) for version in trace.learnt],
            }
            for trace in found
        ],
        "models_known": all(trace.models_known for trace in found),
        "exports": [str(path) for path in exports],
        "versions": None if versions is None else [vars(version) for version in versions],
    }


def _removed_facts(removed: RemovedImage) -> dict[str, Any]:
    return {
        "case": removed.image.case_name,
        "digest": removed.image.digest,
        "annotations": removed.annotation_count,
        "sessions": removed.session_count,
        "voxels_removed": removed.voxels_removed,
    }


def _print_traces(
    found: Sequence[ImageTrace], exports: Sequence[Path], versions: Sequence[TrainedVersion] | None
) -> None:
    console = Console(highlight=False, soft_wrap=True)
    for trace in found:
        console.print(escape(f"{trace.image.case_name} ({trace.image.split}), image {trace.image.digest[:12]}"))
        for each in trace.annotations:
            text = f"    annotation {each.id}, version {each.version}, {each.state}, by {each.annotator or '(no name)'}"
            console.print(escape(text))
        for session in trace.sessions:
            state = "open" if session.open else "ended"
            console.print(escape(f"    session {session.id}, {state}, of {session.owner or '(no name)'}"))
        for other in trace.other_datasets:
            console.print(escape(f"    also in the dataset {other}"))
    served = sorted({(version.model, version.version) for trace in found for version in trace.learnt})
    for model, number in served:
        console.print(escape(f"served, and learnt from it: {model} {number}"))
    if not all(trace.models_known for trace in found):
        console.print("the gateway cannot reach Triton, so that it is not known which served models learnt from it")
    _print_copies(exports, versions, again=False)


def _print_copies(exports: Sequence[Path], versions: Sequence[TrainedVersion] | None, *, again: bool) -> None:
    console = Console(highlight=False, soft_wrap=True)
    for path in exports:
        console.print(escape(f"export {path} has it" + (": delete it, and export again" if again else "")))
    for each in versions or ():
        text = f"{each.model} {each.version} learnt from it, annotations: {each.annotation_count}"
        console.print(escape(text + (": train it again" if again else "")))
    if versions is None:
        console.print("versions of models were not looked for: name a folder by --repository")
    elif not versions:
        console.print("no version in the model repository says that it learnt from it")
