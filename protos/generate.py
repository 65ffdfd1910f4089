"""Generate ``sixpoint/v1`` from ``protos/``, as ``make protos`` does: ``python protos/generate.py [OUTPUT_ROOT]``."""

from __future__ import annotations

import sys
from pathlib import Path

import grpc_tools
from grpc_tools import protoc

PROTOS = Path(__file__).parent


def generate(output: Path) -> None:
    """Write messages, stubs and their types into ``output/sixpoint/v1``.

    Raises:
        RuntimeError: protoc refused a file; its message is on stderr.
    """
    files = sorted(str(path.relative_to(PROTOS)) for path in PROTOS.rglob("*.proto"))
    well_known = Path(grpc_tools.__file__).parent / "_proto"
    status = protoc.main(
        [
            "protoc",
            f"-I{PROTOS}",
            f"-I{well_known}",
            f"--python_out={output}",
            f"--mypy_out=quiet:{output}",
            f"--grpc_python_out={output}",
            f"--mypy_grpc_out=quiet:{output}",
            *files,
        ]
    )
    if status:
        raise RuntimeError(f"protoc failed with status {status}")


if __name__ == "__main__":
    generate(Path(sys.argv[1]) if len(sys.argv) > 1 else PROTOS.parent)
