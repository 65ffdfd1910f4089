"""A check that no file which a command writes is one that it reads."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from sixpoint.errors import InvalidArgument

__all__ = ["check_not_inputs"]

# Headers whose voxels lie in a file beside them: the files that a writer makes, and the header's line that names one.
_DETACHED = {".mhd": (".raw", ".zraw"), ".nhdr": (".raw", ".raw.gz")}
_DATA_FILE = re.compile(rb"^(?:ElementDataFile\s*=|data ?file:)\s*(\S[^\r\n]*)", re.MULTILINE | re.IGNORECASE)
_HEADER_BYTES = 2**16


def check_not_inputs(outputs: Iterable[Path | None], inputs: Iterable[Path | None]) -> None:
    """Refuse outputs that are inputs, or that are one another: writing would destroy what the user has.

    Paths are the same if they lead to one file, through symbolic links, hard links or another spelling, or if they
    differ by upper and lower case only. The files of a folder count as inputs, too, and so do the voxels of a header
    with detached data.

    Args:
        outputs: Files to write; None for those that are not asked for.
        inputs: Files and folders to read; None for those that are not given.

    Raises:
        InvalidArgument: An output is an input, or two outputs are one file.
    """
    read = [(source, file) for source in inputs if source is not None for file in _input_files(source)]
    written: list[tuple[Path, Path]] = []
    for output in outputs:
        if output is None:
            continue
        files = list(_written_files(output))
        for source, file in read:
            if any(_is_same_file(target, file) for target in files):
                raise InvalidArgument(
                    f"cannot write {output}: it would overwrite the input {source}; choose another name for the output"
                )
        for other, file in written:
            if any(_is_same_file(target, file) for target in files):
                raise InvalidArgument(f"cannot write {output}: it is the same file as the output {other}")
        written += [(output, file) for file in files]


def _input_files(source: Path) -> Iterator[Path]:
    """Yield the files that reading a file or folder may open."""
    yield source
    try:
        if source.is_dir():
            yield from source.iterdir()
        elif source.suffix.lower() in _DETACHED:
            with source.open("rb") as file:
                header = file.read(_HEADER_BYTES)
            yield from (source.parent / os.fsdecode(name.strip()) for name in _DATA_FILE.findall(header))
    except (OSError, ValueError):
        # The command reports an input that it cannot read.
        return


def _written_files(output: Path) -> Iterator[Path]:
    """Yield the files that writing an output makes."""
    yield output
    yield from (output.with_suffix(suffix) for suffix in _DETACHED.get(output.suffix.lower(), ()))


def _is_same_file(first: Path, second: Path) -> bool:
    """Whether two paths lead to one file. Devices such as /dev/null never count: they hold nothing to lose."""
    try:
        if first.exists() and not first.is_file() and not first.is_dir():
            return False
        if first.exists() and second.exists() and first.samefile(second):
            return True
        return os.fspath(first.resolve()).casefold() == os.fspath(second.resolve()).casefold()
    except (OSError, RuntimeError, ValueError):
        return os.fspath(first.absolute()).casefold() == os.fspath(second.absolute()).casefold()
