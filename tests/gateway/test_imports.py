"""What the gateway imports."""

from __future__ import annotations

import subprocess
import sys


def test_the_gateway_and_the_command_line_start_without_the_packages_that_read_files() -> None:
    # Containers lack them, and SimpleITK alone takes 96 MB of a process's memory.
    code = (
        "import sys\n"
        "sys.modules |= dict.fromkeys(['SimpleITK', 'nibabel', 'pydicom', 'highdicom', 'PIL'])\n"
        "import gateway.cli, sixpoint.cli"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
