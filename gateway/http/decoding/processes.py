"""Run the programs that read what comes over HTTP, each in a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sixpoint.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    SixpointError,
    Unavailable,
    VolumeError,
)

__all__ = ["parse_answer", "reader_environment", "run_decoder"]

_ERROR_BYTES = 2**16
# Of parameters, and of what may fail while a series is fetched; an image that cannot be read is the caller's.
_KINDS: Mapping[str, type[SixpointError]] = {
    kind.__name__: kind for kind in (DeadlineExceeded, InvalidArgument, NotFound, ResourceExhausted, Unavailable)
}


async def run_decoder(program: str, arguments: Sequence[str], *, folder: Path) -> dict[str, Any]:
    """Run a program that reads a file: a damaged or hostile one can fill or crash that process only.

    Args:
        program: Module to run.
        arguments: Its arguments.
        folder: Folder for its temporary files.

    Returns:
        What it printed, an object in JSON.

    Raises:
        VolumeError: The file is no usable image.
        FailedPrecondition: This gateway was installed without what reads it.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        program,
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=reader_environment(folder),
    )
    try:
        assert process.stdout is not None
        answer = await process.stdout.read(_ERROR_BYTES)
        await process.wait()
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await asyncio.shield(process.wait())
    return parse_answer(answer)


def reader_environment(folder: Path) -> dict[str, str]:
    """Return the variables of a process that reads images: none of the gateway's own secrets.

    Args:
        folder: Folder of the call's files: the temporary ones go with it.
    """
    return {
        "PATH": os.environ.get("PATH", ""),
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "TMPDIR": str(folder),
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "1",
    }


def parse_answer(answer: bytes) -> dict[str, Any]:
    """Parse what a process printed that reads images.

    Raises:
        SixpointError: What it printed instead.
    """
    try:
        content: dict[str, Any] = json.loads(answer)
    except ValueError:
        raise VolumeError(
            "the image cannot be read: its file is damaged, or too large for this gateway (SIXPOINT_MAX_IMAGE_BYTES)"
        ) from None
    if "missing" in content:
        raise FailedPrecondition(
            "this gateway was installed without the packages that read image files (SimpleITK, nibabel), arrays "
            "(blosc2), or series of a DICOMweb server; whoever manages it has to add them: pip install "
            "'sixpoint[gateway,dicomweb]', or an image for containers that has them"
        )
    if "error" in content:
        raise _KINDS.get(content.get("kind", ""), VolumeError)(content["error"])
    return content
