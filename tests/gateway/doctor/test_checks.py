"""Single checks of the doctor, on real databases, stores and disks."""

from __future__ import annotations

import http.server
import re
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from sqlalchemy import create_engine, make_url, text

from gateway.storage import Database, DbosQueue
from gateway.storage.inspection import inspect_database
from gateway.storage.migrations import downgrade, known_revisions
from sixpoint.cli.doctor.connection import Finding
from sixpoint.errors import FailedPrecondition
from tests.gateway.doctor.doctor_process import findings_of, only
from tests.support.certificates import write_certificates
from tests.support.disks import small_disk
from tests.support.postgresql import PostgreSQL


async def database_finding(url: str, folder: Path) -> Finding:
    return only(await findings_of(database_url=url, state_folder=folder), "database")


async def test_the_state_of_the_tables_is_said_and_left_alone(database_url: str, tmp_path: Path) -> None:
    folder, newest = tmp_path / "state", known_revisions()[-1]
    fresh = await database_finding(database_url, folder)
    assert fresh.well
    assert ("there is no database yet" in fresh.seen) or ("it has no tables yet" in fresh.seen)
    database = Database(database_url)
    await database.start()
    assert (await database_finding(database_url, folder)).seen == f"reached; its tables are current (revision {newest})"
    older = known_revisions()[-2]
    await database.write(lambda conn: downgrade(conn, to=older))
    finding = await database_finding(database_url, folder)
    assert finding.well
    assert finding.seen == f"reached; its tables are of revision {older} and are migrated to {newest} at the start"
    assert "take a backup" in finding.advice
    await database.write(lambda conn: conn.execute(text("UPDATE alembic_version SET version_num = 'f00d'")))
    finding = await database_finding(database_url, folder)
    assert not finding.well
    assert finding.seen.startswith("its tables are of revision f00d, of a newer sixpoint; this one knows")
    await database.stop()
    # Also once nobody has it open.
    assert inspect_database(database_url).revision == "f00d"
    assert not folder.exists()


async def test_a_sqlite_that_nobody_has_open_is_read_without_a_trace(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/sixpoint.db"
    database = Database(url)
    await database.start()
    await database.stop()
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert (await database_finding(url, tmp_path / "state")).well
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before
    (tmp_path / "sixpoint.db").write_bytes(b"no database" * 100)
    finding = await database_finding(url, tmp_path / "state")
    assert not finding.well
    assert "file is not a database" in finding.seen


async def test_an_object_store_is_written_to_and_nothing_stays(
    s3_environment: None, s3_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = await findings_of(blobs_url="s3://images/doctor", state_folder=tmp_path)
    assert only(found, "blob store").seen == "reached; an object was written and removed"
    assert only(found, "clock of the blob store").well
    listed = boto3.client("s3", endpoint_url=s3_server, region_name="us-east-1").list_objects_v2(Bucket="images")
    assert not [each["Key"] for each in listed.get("Contents", []) if "doctor" in each["Key"]]
    found = await findings_of(blobs_url="s3://nowhere/doctor", state_folder=tmp_path)
    assert only(found, "blob store").seen.startswith("it cannot be written to (")
    monkeypatch.delenv("AWS_ALLOW_HTTP")
    found = await findings_of(blobs_url="s3://images/doctor", state_folder=tmp_path)
    assert only(found, "settings").seen == (
        "the endpoint of S3 begins with http://, which AWS_ALLOW_HTTP=true must permit"
    )


@pytest.fixture
def late_server() -> Iterator[str]:
    """An HTTP server whose clock is an hour behind."""

    class Late(http.server.BaseHTTPRequestHandler):
        def date_time_string(self, timestamp: float | None = None) -> str:
            return super().date_time_string((datetime.now(UTC) - timedelta(hours=1)).timestamp())

        def do_HEAD(self) -> None:
            self.send_response(403)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Late)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


async def test_a_clock_that_is_wrong_is_said(
    late_server: str, s3_environment: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT", late_server)
    finding = only(await findings_of(blobs_url="s3://images/x", state_folder=tmp_path), "clock of the blob store")
    assert not finding.well
    assert re.fullmatch(r"(359\d|360\d) s behind this machine's", finding.seen)


@pytest.mark.postgres
async def test_a_role_that_may_not_make_the_queue_of_jobs_is_told(postgresql: PostgreSQL, tmp_path: Path) -> None:
    url = make_url(postgresql.database())
    role = f"clerk_{url.database}"
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as conn:
        conn.execute(text(f"CREATE ROLE {role} LOGIN"))
        conn.execute(text(f"GRANT ALL ON SCHEMA public TO {role}"))
    theirs = url.set(username=role).render_as_string(hide_password=False)
    (finding,) = [
        each for each in await findings_of(database_url=theirs, state_folder=tmp_path) if "queue" in each.what
    ]
    assert (finding.well, "GRANT CREATE ON DATABASE" in finding.advice) == (False, True)
    database = Database(theirs)
    await database.start()
    with pytest.raises(FailedPrecondition, match="GRANT CREATE ON DATABASE"):
        await DbosQueue(database).start()
    with engine.connect() as conn:
        conn.execute(text(f"GRANT CREATE ON DATABASE {url.database} TO {role}"))
    engine.dispose()
    await DbosQueue(database).start()
    await database.stop()
    assert not [each for each in await findings_of(database_url=theirs, state_folder=tmp_path) if "queue" in each.what]


@pytest.mark.postgres
async def test_the_clock_of_postgresql_is_compared(postgresql: PostgreSQL, tmp_path: Path) -> None:
    found = await findings_of(database_url=postgresql.database(), state_folder=tmp_path)
    assert only(found, "clock of the database").seen == "agrees with this machine's"


async def test_disks_are_compared_with_the_limits(tmp_path: Path) -> None:
    found = await findings_of(state_folder=tmp_path, disk_bytes=2**60)
    (finding,) = [each for each in found if each.what.startswith("disk of ")]
    assert finding.well
    assert "the disk is full before a limit is" in finding.advice
    with small_disk(tmp_path / "disk", megabytes=4) as folder:
        found = await findings_of(state_folder=folder / "state")
    (finding,) = [each for each in found if each.what.startswith("disk of ")]
    assert not finding.well
    assert finding.advice.startswith("Free space on it")


async def test_a_file_in_the_place_of_a_folder_is_said(tmp_path: Path) -> None:
    (tmp_path / "state").touch()
    found = await findings_of(state_folder=tmp_path / "state" / "more")
    for what in ("database", "blob store"):
        finding = only(found, what)
        assert not finding.well
        assert finding.seen == f"{tmp_path / 'state'} is no folder"


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"port": 50051, "health_port": 50051}, "SIXPOINT_HEALTH_PORT and SIXPOINT_PORT are both 50051"),
        ({"call_seconds": 9.0, "max_call_seconds": 8.0}, "SIXPOINT_CALL_SECONDS is 9, more than SIXPOINT_MAX_CALL_SEC"),
        ({"max_image_bytes": 2**40}, "SIXPOINT_MAX_IMAGE_BYTES is more than SIXPOINT_DISK_BYTES"),
        ({"max_prompts": 2, "owner_prompts": 3}, "SIXPOINT_OWNER_PROMPTS is 3, more than SIXPOINT_MAX_PROMPTS, 2"),
        ({"triton_ca_file": "ca.pem"}, "are for TLS, and SIXPOINT_TRITON_URL has no https://"),
    ],
)
async def test_settings_that_contradict_each_other_are_said(
    settings: dict[str, Any], problem: str, tmp_path: Path
) -> None:
    (finding,) = [each for each in await findings_of(state_folder=tmp_path, **settings) if each.what == "settings"]
    assert not finding.well
    assert problem in finding.seen


async def test_certificates_that_cannot_be_used_are_said(tmp_path: Path) -> None:
    files = write_certificates(tmp_path / "files", "gateway.example", until=datetime.now(UTC) + timedelta(5))
    tls: dict[str, Any] = {"tls_cert_file": files.certificate, "tls_key_file": files.key}
    soon = only(await findings_of(state_folder=tmp_path, **tls), "certificate")
    assert soon.well
    assert "it expires soon" in soon.seen
    tls["tls_key_file"] = files.client_key
    other = only(await findings_of(state_folder=tmp_path, **tls), "certificate")
    assert not other.well
    assert "they do not belong together" in other.seen
    towards: dict[str, Any] = {"triton_url": "https://127.0.0.1:1", "triton_ca_file": tmp_path / "missing"}
    assert not only(await findings_of(state_folder=tmp_path, **towards), "certificate for Triton").well
