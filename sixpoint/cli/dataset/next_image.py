"""Get an image to annotate, and write the one after it ahead of time."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from sixpoint.cli.common import CLI_RETRY, JsonOption, ServerOption, print_json
from sixpoint.cli.dataset.group import NameArgument, dataset, image_facts
from sixpoint.client import Client, DatasetImage, NextImage
from sixpoint.errors import InvalidArgument, SixpointError, VolumeError
from sixpoint.protocol import DEFAULT_SERVER
from sixpoint.volume import Volume, check_suffix

__all__ = ["next_image"]


@dataset.command(
    "next",
    epilog="Example: sixpoint dataset next abdomen -o next.nii.gz\n\n"
    "Example: sixpoint dataset next abdomen --ahead scans",
)
def next_image(
    name: NameArgument,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="New file to write the image to.")] = None,
    ahead: Annotated[
        Path | None,
        typer.Option(
            help="Folder to write the image to, as CASE.nii.gz, and then the one that would come after it, so that the "
            "next call has it at once.",
            metavar="FOLDER",
        ),
    ] = None,
    strategy: Annotated[
        str,
        typer.Option(
            help="first, random, label (one with the label that has the fewest accepted masks), uncertain (the model "
            "of the last `sixpoint dataset segment` is least certain of it), disagreement (its draft and the model of "
            "`--compare-with` differ most) or different (from what is annotated)."
        ),
    ] = "first",
    readers: Annotated[int, typer.Option(min=1, max=20, help="Number of people who annotate each image.")] = 1,
    skip: Annotated[str, typer.Option(help="Skip the image that you have, for this reason.", metavar="REASON")] = "",
    server: ServerOption = DEFAULT_SERVER,
    as_json: JsonOption = False,
) -> None:
    """Get an image to annotate: nobody else gets it for an hour. Without one, there is nothing to do."""
    if output is not None and ahead is not None:
        raise typer.BadParameter("--output names a file for one image, --ahead a folder for two; give one of them")
    if output is not None:
        check_suffix(output)
    with Client(server, retry=CLI_RETRY) as client:
        image = client.datasets.next_image(name, strategy=strategy, readers=readers)
        if image is not None and skip:
            client.datasets.skip_image(name, image.digest, reason=skip)
            image = client.datasets.next_image(name, strategy=strategy, readers=readers)
        if image is not None and ahead is not None:
            output = _file_in(ahead, image)
        if image is not None and output is not None:
            _write_image(client, image, output)
        _show(image, output, as_json=as_json)
        if image is not None and ahead is not None:
            # The person works on the image by now: what fails here is no failure of theirs.
            try:
                following = client.datasets.next_image(name, strategy=strategy, readers=readers, peek=True)
                if following is not None:
                    _write_image(client, following, _file_in(ahead, following))
            except SixpointError as error:
                text = f"the image after it was not written ahead: {error.message}"
                Console(stderr=True, highlight=False, soft_wrap=True).print(escape(text))


def _show(image: NextImage | None, output: Path | None, *, as_json: bool) -> None:
    if as_json:
        print_json(_next_facts(image, output) if image else None)
        return
    console = Console(highlight=False, soft_wrap=True)
    if image is None:
        console.print("no image waits for you")
        return
    console.print(escape(f"next: {image.case_name} ({image.split}), image {image.digest[:12]}"))
    console.print(escape(f"why: {image.reason}"))
    if output is not None:
        console.print(escape(f"file: {output}"))


def _next_facts(image: NextImage, output: Path | None) -> Mapping[str, Any]:
    """An image to annotate as JSON; without a score it is unscored."""
    score = None
    if image.score is not None:
        score = {**vars(image.score), "entropies": dict(image.score.entropies), "dice": dict(image.score.dice)}
    file = None if output is None else str(output)
    return {
        **image_facts(image),
        "reason": image.reason,
        "waiting": image.waiting_count,
        "score": score,
        "file": file,
    }


def _file_in(folder: Path, image: DatasetImage) -> Path:
    return folder / f"{image.case_name}.nii.gz"


def _write_image(client: Client, image: DatasetImage, output: Path) -> None:
    """Write an image to a new file; one that has it already stays as it is.

    Raises:
        InvalidArgument: There is a file with something else.
    """
    if output.exists():
        try:
            same = Volume.read(output).digest == image.digest
        except VolumeError:
            same = False
        if same:
            return
        raise InvalidArgument(f"{output} is there already, and holds something else; choose a new name")
    client.datasets.download(image.digest).write(output)
