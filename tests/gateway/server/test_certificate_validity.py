"""A certificate that expires, or is not valid, is a warning in the log and a metric."""

from __future__ import annotations

import asyncio
import logging
import re
import shutil
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.grpc.tls import certificate as certificate_module
from gateway.grpc.tls.certificate import ServerCertificate
from gateway.grpc.tls.validity import read_validity
from gateway.server import Gateway
from sixpoint import Client, Retry, TlsFiles
from sixpoint.errors import Unavailable
from tests.support.certificates import write_certificates
from tests.support.servers import running_gateway

HOST = "127.0.0.1"
METRIC = r"^sixpoint_certificate_expiry_seconds (\S+)$"


def seconds_left(gateway: Gateway) -> float | None:
    with urllib.request.urlopen(f"http://{HOST}:{gateway.status_ports['status']}/metrics", timeout=20) as response:
        found = re.search(METRIC, response.read().decode(), re.MULTILINE)
    return float(found[1]) if found else None


@pytest.mark.parametrize(
    ("since", "until", "warning"),
    [
        (-30, 13, "it expires soon"),
        (-30, -1, "it has expired"),
        (1, 30, "it is valid only from"),
        (-30, 15, ""),
    ],
)
async def test_the_log_warns_of_a_certificate_in_time(
    since: int, until: int, warning: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    now = datetime.now(UTC)
    files = write_certificates(tmp_path / "files", HOST, since=now + timedelta(since), until=now + timedelta(until))
    tls: dict[str, Any] = {"tls_cert_file": files.certificate, "tls_key_file": files.key}
    with running_gateway(ready=False, triton_url="127.0.0.1:1", status_port=0, **tls) as gateway:
        left = seconds_left(gateway)
    assert left is not None
    assert abs(left - until * 86400) < 60
    warnings = [record.getMessage() for record in caplog.records if "SIXPOINT_TLS_CERT_FILE" in record.getMessage()]
    assert [warning in text for text in warnings] == [True] * bool(warning)


def test_the_metric_is_of_the_certificate_in_use(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    files = write_certificates(tmp_path / "files", HOST)
    renewed = write_certificates(tmp_path / "renewed", HOST, until=datetime.now(UTC) + timedelta(days=5))
    tls: dict[str, Any] = {"tls_cert_file": files.certificate, "tls_key_file": files.key}
    with running_gateway(ready=False, triton_url="127.0.0.1:1", status_port=0, **tls) as gateway:
        before = seconds_left(gateway)
        assert before is not None
        assert before > 14 * 86400
        with caplog.at_level(logging.INFO):
            shutil.copy(renewed.certificate, files.certificate)
            shutil.copy(renewed.key, files.key)
            with (
                pytest.raises(Unavailable, match="not trusted"),
                Client(
                    f"https://{HOST}:{gateway.port}", tls=TlsFiles(ca_file=files.authority), retry=Retry.none()
                ) as client,
            ):
                client.sessions()
        after = seconds_left(gateway)
        assert after is not None
        assert abs(after - 5 * 86400) < 60
    assert "it expires soon" in caplog.text


def test_without_tls_there_is_no_such_metric() -> None:
    with running_gateway(ready=False, triton_url="127.0.0.1:1", status_port=0) as gateway:
        assert seconds_left(gateway) is None


def test_the_first_certificate_of_a_chain_that_expires_counts(tmp_path: Path) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    first, last = (
        write_certificates(tmp_path / str(days), HOST, until=now + timedelta(days)).certificate.read_bytes()
        for days in (5, 50)
    )
    for content in (first + last, last + first):
        validity = read_validity(content)
        assert validity is not None
        assert validity.end == now + timedelta(5)
    assert read_validity(b"no") is None


async def test_the_warning_is_repeated_each_day(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = write_certificates(tmp_path / "files", HOST, until=datetime.now(UTC) + timedelta(5))
    certificate = ServerCertificate(files.certificate, files.key)
    assert certificate_module._DAY_S == 86400.0
    # Never asyncio.sleep itself: other tests' gateways sleep too.
    monkeypatch.setattr(certificate_module, "_DAY_S", 0.01)
    watching = asyncio.create_task(certificate.watch())
    while caplog.text.count("it expires soon") < 3:
        await asyncio.sleep(0.01)
        assert not watching.done()
    watching.cancel()
