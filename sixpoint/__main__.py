"""``python -m sixpoint``."""

from sixpoint.cli import main

main()
