"""The command ``python -m benchmarks.peer``."""

from __future__ import annotations

import typer

from benchmarks.peer.comparison import main

if __name__ == "__main__":
    typer.run(main)
