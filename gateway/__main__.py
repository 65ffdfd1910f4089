"""The command ``gateway``, also ``python -m gateway``."""

from __future__ import annotations

import os
import sys

# Before gRPC is imported: it would write lines of its own, about each handshake that fails, between those of the log.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

from sixpoint.cli.missing_extra import report_missing_extra

__all__ = ["main"]


def main() -> None:
    """Run the command line."""
    try:
        # Imported here: it needs packages that a client does not have, and every installation has the command.
        from gateway import cli

        cli.main()
    except ModuleNotFoundError as error:
        report_missing_extra(error, program="gateway")
        sys.exit(1)


if __name__ == "__main__":
    main()
