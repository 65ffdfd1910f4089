"""TLS of the gateway's port: whom clients trust, whom the gateway admits, and certificates that change."""

from __future__ import annotations

import logging
import shutil
import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.server import Gateway
from gateway.settings import Settings
from sixpoint import AsyncClient, Client, Retry, TlsFiles
from sixpoint.cli.doctor import examine
from sixpoint.errors import InvalidArgument, SixpointError, Unavailable
from tests.support.certificates import Certificates, write_certificates
from tests.support.servers import running_gateway

HOST = "127.0.0.1"


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return write_certificates(tmp_path_factory.mktemp("certificates") / "ours", HOST)


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return write_certificates(tmp_path_factory.mktemp("certificates") / "others", HOST)


def serving(files: Certificates, *, client_authority: Path | None = None) -> Iterator[Gateway]:
    with running_gateway(
        ready=False,
        triton_url="127.0.0.1:1",
        tls_cert_file=files.certificate,
        tls_key_file=files.key,
        tls_client_ca_file=client_authority,
    ) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def gateway(ours: Certificates) -> Iterator[Gateway]:
    yield from serving(ours)


@pytest.fixture(scope="module")
def strict(ours: Certificates) -> Iterator[Gateway]:
    """A gateway that wants a certificate of its clients."""
    yield from serving(ours, client_authority=ours.authority)


def ask(address: str, tls: TlsFiles | None = None) -> None:
    """Make a call that needs no Triton; raises what a client would see."""
    with Client(address, tls=tls, retry=Retry(attempts=3, initial_backoff=0.01)) as client:
        assert client.sessions() == []


async def test_a_client_that_trusts_the_authority_is_served(gateway: Gateway, ours: Certificates) -> None:
    ask(f"https://{HOST}:{gateway.port}", TlsFiles(ca_file=ours.authority))
    async with AsyncClient(f"https://{HOST}:{gateway.port}", tls=TlsFiles(ca_file=ours.authority)) as client:
        assert await client.sessions() == []


def test_the_files_of_the_environment_count(
    gateway: Gateway, ours: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIXPOINT_CA_FILE", str(ours.authority))
    monkeypatch.setenv("SIXPOINT_SERVER", f"https://{HOST}:{gateway.port}")
    with Client() as client:
        assert client.sessions() == []


def test_a_client_without_tls_and_one_that_does_not_trust_are_told_what_to_do(
    gateway: Gateway, others: Certificates
) -> None:
    address = f"{HOST}:{gateway.port}"
    with pytest.raises(Unavailable, match=f"if it expects TLS, write https://{address}"):
        ask(address)
    for tls in (TlsFiles(ca_file=others.authority), None):
        with pytest.raises(Unavailable, match=r"certificate is not trusted \(.*\); name the file .* SIXPOINT_CA_FILE"):
            ask(f"https://{address}", tls)


def test_a_client_is_told_that_a_certificate_has_expired(tmp_path: Path) -> None:
    files = write_certificates(tmp_path / "files", HOST, until=datetime.now(UTC) - timedelta(days=1))
    for gateway in serving(files):
        with pytest.raises(Unavailable, match="its certificate has expired; its operator must renew it"):
            ask(f"https://{HOST}:{gateway.port}", TlsFiles(ca_file=files.authority))


def test_a_certificate_for_another_name_is_refused(gateway: Gateway, ours: Certificates) -> None:
    with pytest.raises(Unavailable, match="its certificate is for another name"):
        ask(f"https://localhost:{gateway.port}", TlsFiles(ca_file=ours.authority))


def test_a_server_without_tls_is_named_as_one(ours: Certificates) -> None:
    with (
        running_gateway(ready=False, triton_url="127.0.0.1:1") as gateway,
        pytest.raises(Unavailable, match="does not use TLS; write its address without https://"),
    ):
        ask(f"https://{HOST}:{gateway.port}", TlsFiles(ca_file=ours.authority))


def test_a_gateway_that_asks_for_certificates_admits_only_their_authority(
    strict: Gateway, ours: Certificates, others: Certificates
) -> None:
    address = f"https://{HOST}:{strict.port}"
    ask(address, TlsFiles(ours.authority, ours.client_certificate, ours.client_key))
    for certificate, key in ((None, None), (others.client_certificate, others.client_key)):
        with pytest.raises(Unavailable, match="name one that it trusts with SIXPOINT_CLIENT_CERT_FILE"):
            ask(address, TlsFiles(ours.authority, certificate, key))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_versions_before_tls_1_2_are_refused(gateway: Gateway, ours: Certificates) -> None:
    def connect(version: ssl.TLSVersion) -> str | None:
        context = ssl.create_default_context(cafile=ours.authority)
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
        context.set_alpn_protocols(["h2"])
        context.minimum_version = context.maximum_version = version
        with (
            socket.create_connection((HOST, gateway.port)) as connection,
            context.wrap_socket(connection, server_hostname=HOST) as secured,
        ):
            return secured.version()

    assert connect(ssl.TLSVersion.TLSv1_2) == "TLSv1.2"
    with pytest.raises(ssl.SSLError):
        connect(ssl.TLSVersion.TLSv1_1)


def test_a_certificate_that_changes_is_used_and_a_half_changed_one_is_not(
    tmp_path: Path, ours: Certificates, others: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    certificate, key = tmp_path / "tls.crt", tmp_path / "tls.key"
    shutil.copy(ours.certificate, certificate)
    shutil.copy(ours.key, key)
    files = Certificates(ours.authority, certificate, key, ours.client_certificate, ours.client_key)
    trusting, trusting_others = TlsFiles(ca_file=ours.authority), TlsFiles(ca_file=others.authority)
    for gateway in serving(files):
        address = f"https://{HOST}:{gateway.port}"
        with Client(address, tls=trusting) as connected, caplog.at_level(logging.INFO):
            assert connected.sessions() == []
            shutil.copy(others.certificate, certificate)
            for _ in range(3):
                ask(address, trusting)
            warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
            assert len([text for text in warnings if "they do not belong together" in text]) == 1
            key.unlink()
            ask(address, trusting)
            shutil.copy(others.key, key)
            ask(address, trusting_others)
            with pytest.raises(Unavailable, match="not trusted"):
                ask(address, trusting)
            # Connections that exist keep what they began with.
            assert connected.sessions() == []
    assert str(tmp_path) not in caplog.text


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (
            lambda files: files.key.unlink(),
            "SIXPOINT_TLS_KEY_FILE: the file cannot be read (No such file or directory)",
        ),
        (lambda files: files.certificate.write_text("no"), "no certificate with its key"),
        (lambda files: shutil.copy(files.client_key, files.key), "they do not belong together"),
        (lambda files: files.authority.write_text(""), "SIXPOINT_TLS_CLIENT_CA_FILE cannot be used"),
    ],
)
def test_files_that_cannot_be_used_stop_the_start(change: object, problem: str, tmp_path: Path) -> None:
    files = write_certificates(tmp_path / "files", HOST)
    assert callable(change)
    change(files)
    state = tmp_path / "state"
    with (
        pytest.raises(InvalidArgument) as caught,
        running_gateway(
            ready=False,
            tls_cert_file=files.certificate,
            tls_key_file=files.key,
            tls_client_ca_file=files.authority,
            state_folder=state,
        ),
    ):
        pass
    assert problem in str(caught.value)
    # Not even a database is made, or migrated.
    assert not state.exists()


@pytest.mark.parametrize("address", ["https://gpu1:8001", "https://dns:///gpus:8001"])
def test_files_towards_triton_that_cannot_be_used_stop_the_start(address: str, tmp_path: Path) -> None:
    state = tmp_path / "state"
    settings: dict[str, Any] = {"triton_url": address, "triton_ca_file": tmp_path / "missing", "state_folder": state}
    with (
        pytest.raises(InvalidArgument, match=r"missing \(SIXPOINT_TRITON_CA_FILE, ca_file\) cannot be used"),
        running_gateway(ready=False, **settings),
    ):
        pass
    assert not state.exists()


def test_settings_for_tls_need_each_other() -> None:
    with pytest.raises(ValueError, match="need each other"):
        Settings(tls_cert_file=Path("tls.crt"))
    with pytest.raises(ValueError, match="SIXPOINT_TLS_CLIENT_CA_FILE needs SIXPOINT_TLS_CERT_FILE"):
        Settings(tls_client_ca_file=Path("ca.crt"))


def test_files_of_a_client_that_cannot_be_used_are_named(tmp_path: Path, ours: Certificates) -> None:
    missing = tmp_path / "missing.pem"
    broken = tmp_path / "broken.pem"
    broken.write_text("no")
    wrong: list[tuple[TlsFiles, str]] = [
        (TlsFiles(ca_file=missing), "missing.pem .*No such file"),
        (TlsFiles(ca_file=broken), "broken.pem .*no certificate in PEM form"),
        (TlsFiles(ours.authority, ours.client_certificate), "SIXPOINT_CLIENT_KEY_FILE .* is missing"),
        (TlsFiles(ours.authority, ours.client_certificate, ours.key), "no certificate with its own key"),
    ]
    for tls, problem in wrong:
        with pytest.raises(InvalidArgument, match=problem):
            Client("https://gateway.example", tls=tls)
    with pytest.raises(InvalidArgument, match=r"write https://gateway\.example:50051"):
        Client("gateway.example", tls=TlsFiles(ours.authority))


def test_the_doctor_tells_of_a_certificate_that_expires_soon_of_one_that_has_and_of_one_from_the_future(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for since, days, well, problem in (
        (-9, 5, True, "expires soon"),
        (-9, -5, False, "certificate has expired"),
        (2, 5, False, "is not valid yet"),
    ):
        now = datetime.now(UTC)
        files = write_certificates(
            tmp_path / f"{since}{days}", HOST, since=now + timedelta(since), until=now + timedelta(days)
        )
        monkeypatch.setenv("SIXPOINT_CA_FILE", str(files.authority))
        for gateway in serving(files):
            found = {finding.what: finding for finding in examine(f"https://{HOST}:{gateway.port}")}
            assert found["certificate"].well is well
            assert problem in found["certificate"].seen + found["certificate"].advice
            if not well:
                with pytest.raises(Unavailable, match=r"its certificate (has expired|is not valid yet)"):
                    ask(f"https://{HOST}:{gateway.port}")


def test_the_doctor_explains_certificates(
    gateway: Gateway, strict: Gateway, ours: Certificates, others: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    def seen(port: int, host: str = HOST) -> tuple[bool, str]:
        findings = list(examine(f"https://{host}:{port}"))
        which = next((finding for finding in findings if finding.what == "certificate"), findings[-1])
        return which.well, f"{which.seen} {which.advice}"

    monkeypatch.setenv("SIXPOINT_CA_FILE", str(ours.authority))
    well, text = seen(gateway.port)
    assert well
    assert text.startswith("accepted, for 127.0.0.1, until ")
    assert "is not valid for 'localhost'" in seen(gateway.port, "localhost")[1]
    monkeypatch.setenv("SIXPOINT_CA_FILE", str(others.authority))
    well, text = seen(gateway.port)
    assert not well
    assert "is not accepted: unable to get local issuer certificate" in text
    monkeypatch.setenv("SIXPOINT_CA_FILE", str(ours.authority))
    last = list(examine(f"https://{HOST}:{strict.port}"))[-1]
    assert not last.well
    assert "SIXPOINT_CLIENT_CERT_FILE" in last.seen + last.advice
    with pytest.raises(SixpointError):
        ask(f"https://{HOST}:{strict.port}")
