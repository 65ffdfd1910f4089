"""Run the command line as ``python -m sixpoint``."""

from sixpoint.cli import main

main()
