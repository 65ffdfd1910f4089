"""The command ``trainer``, also ``python -m trainer``."""

from __future__ import annotations

import sys

from sixpoint.cli.missing_extra import report_missing_extra

__all__ = ["main"]


def main() -> None:
    """Run the command line."""
    try:
        # Imported here: it needs PyTorch, which may not be installed.
        from trainer import cli

        cli.main()
    except ModuleNotFoundError as error:
        report_missing_extra(error, program="trainer")
        sys.exit(5)


if __name__ == "__main__":
    main()
