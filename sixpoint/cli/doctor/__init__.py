"""``sixpoint doctor``: what is checked, and the command."""

from sixpoint.cli.doctor.command import doctor, examine
from sixpoint.cli.doctor.connection import Finding
from sixpoint.cli.doctor.http_checks import examine_http

__all__ = ["Finding", "doctor", "examine", "examine_http"]
