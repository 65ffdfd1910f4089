"""Look up the packages of an environment in the database of known vulnerabilities, and say what came of it.

pip-audit reports "no known vulnerabilities" also for packages that it could not look up, as without the internet.

Usage: audit.py PIP_AUDIT ENVIRONMENT. Exit codes: 0 none is known; 1 some are; 2 it is not known.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

_OWN = "sixpoint"
_NAMED = 5


def conclude(packages: Sequence[Mapping[str, Any]]) -> tuple[int, list[str]]:
    """Return the exit code and the lines to print for the packages of a report."""
    lines = [
        f"{package['name']} {package['version']}: {fault['id']}, mended in {', '.join(fault['fix_versions']) or 'none'}"
        for package in packages
        for fault in package.get("vulns", ())
    ]
    skipped = [package["name"] for package in packages if "skip_reason" in package and package["name"] != _OWN]
    looked_up = len(packages) - len(skipped)
    if skipped:
        names = ", ".join(skipped[:_NAMED]) + (", ..." if len(skipped) > _NAMED else "")
        lines.append(
            f"NOT KNOWN: {len(skipped)} of {len(packages)} packages were not looked up ({names}): the database of "
            "vulnerabilities is out of reach, or does not know them. Run this where pypi.org can be reached"
        )
    if any(package.get("vulns") for package in packages):
        return 1, lines
    return (2, lines) if skipped else (0, [f"no vulnerability of {looked_up} packages is known"])


def main() -> int:
    """Run pip-audit on an environment."""
    pip_audit, environment = sys.argv[1:]
    site = subprocess.run(
        [f"{environment}/bin/python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    command = [pip_audit, "--path", site, "--format", "json", "--progress-spinner", "off"]
    report = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        packages = json.loads(report.stdout)["dependencies"]
    except ValueError:
        reason = report.stderr.strip().splitlines()[-1:] or ["it printed nothing"]
        sys.stdout.write(f"NOT KNOWN: pip-audit could not look anything up: {reason[0]}\n")
        return 2
    code, lines = conclude(packages)
    sys.stdout.write("\n".join(lines) + "\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
