"""``sixpoint doctor``: what is checked, and the command."""

from sixpoint.cli.doctor.command import doctor, examine
from sixpoint.cli.doctor.connection import Finding

__all__ = ["Finding", "doctor", "examine"]
