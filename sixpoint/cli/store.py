"""``sixpoint store``: store DICOM files on a DICOMweb server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from sixpoint.cli.common import JsonOption, app, print_json
from sixpoint.errors import InvalidArgument, SixpointError, VolumeError
from sixpoint.io.dicomweb import DicomwebAddress, is_dicomweb
from sixpoint.io.dicomweb.connection import connect

__all__ = ["store"]


@app.command(epilog="Example: sixpoint store seg.dcm dicomweb:https://pacs.example/dicom-web")
def store(
    files: Annotated[list[Path], typer.Argument(help="DICOM files, or folders of them.", metavar="FILE...")],
    server: Annotated[str, typer.Argument(help="DICOMweb server: dicomweb:URL.", metavar="dicomweb:URL")],
    as_json: JsonOption = False,
) -> None:
    """Store DICOM files on a DICOMweb server.

    What counts is what the server says that it stored. SIXPOINT_DICOMWEB_TOKEN, or the file that
    SIXPOINT_DICOMWEB_TOKEN_FILE names, has a token or user:password for it.
    """
    if not is_dicomweb(server):
        raise typer.BadParameter("the last argument is no DICOMweb server; expected dicomweb:URL")
    address = DicomwebAddress.parse(server)
    if address.study:
        raise InvalidArgument("files say themselves which study is theirs; leave out what is behind the #")
    paths = list(_files(files))
    stored = 0
    with connect(address.url) as pacs:
        for path in paths:
            try:
                pacs.store(path)
            except SixpointError as error:
                if len(paths) == 1:
                    raise
                raise type(error)(f"{error.message}; {stored} of {len(paths)} files were stored before") from error
            stored += 1
    if as_json:
        print_json({"stored": stored})
    else:
        Console(highlight=False).print(f"stored {stored} file{'' if stored == 1 else 's'}")


def _files(paths: list[Path]) -> Iterator[Path]:
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        inside = sorted(each for each in path.iterdir() if each.is_file())
        if not inside:
            raise VolumeError(f"{path} has no files")
        yield from inside
