"""The command ``gateway``, also ``python -m gateway``."""

from __future__ import annotations

import sys

__all__ = ["main"]

_OWN = frozenset({"sixpoint", "gateway"})


def main() -> None:
    """Run the command line."""
    try:
        # Imported here: it needs packages that a client does not have, and every installation has the command.
        from gateway import cli

        cli.main()
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] in _OWN:
            raise
        sys.stderr.write(
            f'error: the gateway needs {error.name}, which is not installed: pip install "sixpoint[gateway]", or in a '
            'checkout pip install ".[gateway]"\n'
        )
        sys.exit(1)


if __name__ == "__main__":
    main()
