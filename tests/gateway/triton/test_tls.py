"""TLS towards the real Triton, which asks for certificates: trust, names, files that change, the exporter."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import numpy as np
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from benchmarks.servers.local_servers import started_tritons
from exporter.publishing.triton import Triton
from gateway.core.runtime import Model
from gateway.triton.client import TritonClient
from gateway.triton.local.server import LocalTriton, LocalTritonSettings
from sixpoint._typing import Floating
from sixpoint.client import TlsFiles
from sixpoint.errors import InvalidArgument, TritonUnavailable
from sixpoint.protocol.triton_addresses import TLS_PREFIX, TritonName
from tests.gateway.triton.several_tritons import pool_of
from tests.support.certificates import Certificates, write_certificates
from tests.support.models import write_ellipsoid_model
from tests.support.paths import TRITON_ENVIRONMENT
from tests.support.ports import free_port

pytestmark = pytest.mark.triton

NAME = "triton.example"


class SecureTriton(LocalTriton):
    """A Triton that speaks TLS only, and wants a certificate of its clients."""

    def __init__(self, settings: LocalTritonSettings, files: Certificates) -> None:
        super().__init__(settings)
        self._files = files

    def _arguments(self, backends: Path, prefix: str) -> list[str]:
        return [
            *super()._arguments(backends, prefix),
            "--grpc-use-ssl-mutual=true",
            f"--grpc-server-cert={self._files.certificate}",
            f"--grpc-server-key={self._files.key}",
            f"--grpc-root-cert={self._files.authority}",
        ]

    async def _wait_until_ready(self) -> None:
        async with grpc.aio.secure_channel(
            f"localhost:{self.settings.grpc_port}", files(self._files).credentials()
        ) as c:
            stub: Any = service_pb2_grpc.GRPCInferenceServiceStub(c)
            await stub.ServerReady(service_pb2.ServerReadyRequest(), timeout=60, wait_for_ready=True)


def files(certificates: Certificates, *, client: Certificates | None = None) -> TlsFiles:
    client = client or certificates
    return TlsFiles(certificates.authority, client.client_certificate, client.client_key, TLS_PREFIX)


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return write_certificates(tmp_path_factory.mktemp("certificates") / "ours", "localhost", NAME)


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return write_certificates(tmp_path_factory.mktemp("certificates") / "others", "localhost")


@pytest.fixture(scope="module")
def secure(ours: Certificates, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalTriton]:
    repository = tmp_path_factory.mktemp("secure") / "models"
    write_ellipsoid_model(repository / "ellipsoid")
    settings = LocalTritonSettings(
        model_repository=repository,
        environment=TRITON_ENVIRONMENT,
        grpc_port=free_port(),
        metrics_port=free_port(),
    )
    triton = SecureTriton(settings, ours)
    with started_tritons([triton]):
        yield triton


def address(triton: LocalTriton, host: str = "localhost") -> str:
    return f"https://{host}:{triton.settings.grpc_port}"


def empty(model: Model) -> Floating:
    return np.zeros(model.spec.input_shape, np.float16 if model.spec.input.dtype == "FP16" else np.float32)


async def model_of(client: TritonClient) -> Model:
    versions = await client.versions()
    model = await client.describe("ellipsoid", versions["ellipsoid"])
    assert model is not None
    return model


async def test_a_model_answers_over_mutual_tls(secure: LocalTriton, ours: Certificates) -> None:
    async with TritonClient(address(secure), key=secure.key, tls=files(ours)) as client:
        model = await model_of(client)
        answer = await client.infer(model, empty(model), timeout=30)
    assert answer.version == "1"


async def test_all_addresses_of_a_name_show_a_certificate_for_the_name(secure: LocalTriton, ours: Certificates) -> None:
    port = secure.settings.grpc_port

    async def resolve(name: TritonName) -> tuple[str, ...]:
        assert name == TritonName(NAME, port, tls=True)
        return (f"https://127.0.0.1:{port}",)

    several = pool_of(f"https://dns:///{NAME}:{port}", reachable=1, resolve=resolve, key=secure.key, tls=files(ours))
    async with several as (pool, catalog), asyncio.timeout(30):
        while not catalog.ready:
            await asyncio.sleep(0.05)
        model = catalog.models["ellipsoid"]
        assert (await pool.infer(model, empty(model), timeout=30)).version == "1"


@pytest.mark.parametrize(
    ("host", "choose", "problem"),
    [
        ("127.0.0.1", files, "its certificate is for another name"),
        ("localhost", lambda ours: TlsFiles(prefix=TLS_PREFIX), r"not trusted \(.*SIXPOINT_TRITON_CA_FILE"),
        (
            "localhost",
            lambda ours: TlsFiles(ours.authority, prefix=TLS_PREFIX),
            "name yours with SIXPOINT_TRITON_CLIENT_CERT_FILE and SIXPOINT_TRITON_CLIENT_KEY_FILE",
        ),
    ],
)
async def test_the_operator_is_told_why_tls_fails(
    host: str, choose: Callable[[Certificates], TlsFiles], problem: str, secure: LocalTriton, ours: Certificates
) -> None:
    async with TritonClient(address(secure, host), tls=choose(ours)) as client:
        with pytest.raises(TritonUnavailable, match=problem):
            await client.versions()


async def test_without_tls_a_triton_that_speaks_it_is_named(secure: LocalTriton) -> None:
    async with TritonClient(secure.address) as client:
        with pytest.raises(TritonUnavailable, match="if it speaks TLS, write https://"):
            await client.versions()


async def test_a_triton_without_tls_is_named_and_files_that_cannot_be_used_are_refused(
    triton: LocalTriton, ours: Certificates, tmp_path: Path
) -> None:
    async with TritonClient(f"https://{triton.address}", tls=files(ours)) as client:
        with pytest.raises(TritonUnavailable, match="does not use TLS; write its address without https://"):
            await client.versions()
    wrong = TlsFiles(tmp_path / "missing", prefix=TLS_PREFIX)
    with pytest.raises(InvalidArgument, match=r"SIXPOINT_TRITON_CA_FILE, ca_file\) cannot be used"):
        async with pool_of("https://dns:///nowhere.invalid:1", reachable=0, tls=wrong):
            pass


async def test_files_that_change_are_used_and_half_changed_ones_are_not(
    secure: LocalTriton, ours: Certificates, others: Certificates, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    certificate, key = tmp_path / "client.pem", tmp_path / "client.key"

    def put(chosen: Certificates) -> None:
        for source, target in ((chosen.client_certificate, certificate), (chosen.client_key, key)):
            shutil.copy(source, target.with_suffix(".new"))
            target.with_suffix(".new").rename(target)

    put(others)
    caplog.set_level(logging.INFO)
    tls = TlsFiles(ours.authority, certificate, key, TLS_PREFIX)
    async with TritonClient(address(secure), key=secure.key, tls=tls) as client:
        with pytest.raises(TritonUnavailable):
            await client.versions()
        put(ours)
        model = await model_of(client)
        # Renewed while a call runs: it ends where it began.
        running = asyncio.create_task(client.infer(model, empty(model), timeout=30))
        await asyncio.sleep(0)
        put(ours)
        assert await client.versions()
        assert (await running).version == "1"
        certificate.write_text("half")
        for _ in range(3):
            assert await client.versions()
        put(others)
        with pytest.raises(TritonUnavailable):
            await client.versions()
    assert caplog.text.count("the changed TLS files for triton are not used") == 1
    assert caplog.text.count("TLS files for triton read again") == 3


def test_the_exporter_speaks_tls_by_the_same_variables(
    secure: LocalTriton, ours: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIXPOINT_TRITON_KEY", secure.key)
    with Triton(address(secure)) as triton, pytest.raises(TritonUnavailable, match="SIXPOINT_TRITON_CA_FILE"):
        triton.version_states("ellipsoid")
    monkeypatch.setenv("SIXPOINT_TRITON_CA_FILE", str(ours.authority))
    with Triton(address(secure)) as triton, pytest.raises(TritonUnavailable, match="SIXPOINT_TRITON_CLIENT_CERT_FILE"):
        triton.version_states("ellipsoid")
    monkeypatch.setenv("SIXPOINT_TRITON_CLIENT_CERT_FILE", str(ours.client_certificate))
    monkeypatch.setenv("SIXPOINT_TRITON_CLIENT_KEY_FILE", str(ours.client_key))
    with Triton(address(secure)) as triton:
        assert triton.version_states("ellipsoid") == {1: ("READY", "")}
