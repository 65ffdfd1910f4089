"""Make the secrets that compose.yaml mounts, in containers/secrets, and containers/.env; what is there stays.

Files are of the user who runs this, and only he reads them: containers that need them run as him, or as root.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import sys
from pathlib import Path

# Of nobody on the machine; images are tested with users like it.
_USER_INSTEAD_OF_ROOT = 65532


def main() -> None:
    """Write the files."""
    parser = argparse.ArgumentParser(description="Make the secrets of compose.yaml; what is there stays.")
    default = Path(__file__).parent
    parser.add_argument("--folder", type=Path, default=default, help=f"folder of compose.yaml; default: {default}")
    folder: Path = parser.parse_args().folder
    user = os.getuid() or _USER_INSTEAD_OF_ROOT
    (folder / "secrets").mkdir(mode=0o700, exist_ok=True)
    os.chown(folder / "secrets", user, -1)
    made = [
        name for name, content in _contents(folder / "secrets").items() if _write(folder / name, content, user=user)
    ]
    sys.stdout.write(f"wrote {', '.join(made)} in {folder}\n" if made else f"all secrets are in {folder} already\n")


def _contents(folder: Path) -> dict[str, str]:
    """Contents of new files by name, which agree with each other and with the files that are there."""
    values = {name: _stored(folder / name) or secrets.token_urlsafe(32) for name in ("postgres-password", "triton-key")}
    key_id = _stored(folder / "s3-key-id") or secrets.token_hex(10)
    key = _stored(folder / "s3-key") or secrets.token_urlsafe(32)
    identity = {
        "name": "gateway",
        "credentials": [{"accessKey": key_id, "secretKey": key}],
        "actions": ["Read", "Write", "List"],
    }
    return {
        ".env": f"SIXPOINT_USER={os.getuid() or _USER_INSTEAD_OF_ROOT}\n",
        **{f"secrets/{name}": f"{value}\n" for name, value in values.items()},
        "secrets/database-url": f"postgresql+psycopg://sixpoint:{values['postgres-password']}@postgres/sixpoint\n",
        "secrets/s3-key-id": f"{key_id}\n",
        "secrets/s3-key": f"{key}\n",
        "secrets/s3.json": f"{json.dumps({'identities': [identity]}, indent=2)}\n",
    }


def _stored(path: Path) -> str:
    return path.read_text().strip() if path.exists() else ""


def _write(path: Path, content: str, *, user: int) -> bool:
    """Write a file that is not there; returns whether it was not."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "w") as file:
        os.fchown(descriptor, user, -1)
        file.write(content)
    return True


if __name__ == "__main__":
    main()
