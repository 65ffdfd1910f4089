"""Credentials of the object store from files, and its certificate by an authority of one's own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.storage import Blobs
from sixpoint.errors import InvalidArgument, StorageUnavailable
from sixpoint.io.object_store import Objects, credential_files
from tests.support.certificates import Certificates, write_certificates

SECRET = "a/secret+key"


def objects(url: str) -> Objects:
    return Objects(url, unavailable=StorageUnavailable)


@pytest.fixture
def https_store(s3_environment: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Certificates]:
    """The object store over HTTPS instead of HTTP; yields the files of its authority."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    files = write_certificates(tmp_path / "certificates", "127.0.0.1")
    context = (str(files.certificate), str(files.key))
    app = DomainDispatcherApplication(create_backend_app)
    server = make_server("127.0.0.1", 0, app, threaded=True, ssl_context=context)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("AWS_ENDPOINT", f"https://127.0.0.1:{server.port}")
    monkeypatch.delenv("AWS_ALLOW_HTTP")
    yield files
    server.shutdown()
    thread.join()
    server.server_close()


async def test_an_authority_of_ones_own_is_trusted_by_name_only(
    https_store: Certificates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "source").write_bytes(b"voxels")
    with pytest.raises(StorageUnavailable):
        await Blobs("s3://images/tls").check()
    monkeypatch.setenv("AWS_CA_BUNDLE", str(https_store.authority))
    blobs = Blobs("s3://images/tls")
    await blobs.put_file("a", tmp_path / "source")
    assert await blobs.size("a") == 6
    another = write_certificates(tmp_path / "another", "127.0.0.1")
    monkeypatch.setenv("AWS_CA_BUNDLE", str(another.authority))
    with pytest.raises(StorageUnavailable):
        await Blobs("s3://images/tls").check()


@pytest.mark.parametrize(
    ("content", "problem"), [(None, "No such file or directory"), ("no", "it has no certificate in PEM form")]
)
def test_authorities_that_cannot_be_used_are_refused(
    content: str | None, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if content is not None:
        (tmp_path / "ca").write_text(content)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "ca"))
    with pytest.raises(InvalidArgument, match=rf"^AWS_CA_BUNDLE: the file cannot be used \({problem}\)$"):
        objects("s3://images")


async def test_http_is_spoken_only_when_asked_for(
    s3_environment: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await Blobs("s3://images").check()
    authority = write_certificates(tmp_path / "certificates", "127.0.0.1").authority
    monkeypatch.setenv("AWS_CA_BUNDLE", str(authority))
    await Blobs("s3://images").check()
    monkeypatch.delenv("AWS_ALLOW_HTTP")
    with pytest.raises(StorageUnavailable):
        await Blobs("s3://images").check()


@pytest.mark.parametrize(
    ("url", "variable", "key"),
    [
        ("s3://bucket/prefix", "AWS_SECRET_ACCESS_KEY", "secret_access_key"),
        ("s3://bucket/prefix", "AWS_SESSION_TOKEN", "session_token"),
        ("az://account/prefix", "AZURE_STORAGE_ACCOUNT_KEY", "account_key"),
        ("abfs://account/prefix", "AZURE_STORAGE_SAS_TOKEN", "sas_key"),
        ("gs://bucket/prefix", "GOOGLE_BEARER_TOKEN", "bearer_token"),
    ],
)
def test_a_secret_is_read_from_its_file(
    url: str, variable: str, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if url.startswith("s3"):
        # Both halves of a key are needed; this one comes from the environment.
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "me")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "" if variable == "AWS_SECRET_ACCESS_KEY" else SECRET)
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
    secret = "c2VjcmV0" if key == "account_key" else "a=b" if key == "sas_key" else SECRET
    path = tmp_path / "secret"
    path.write_text(f"{secret}\n")
    monkeypatch.setenv(f"{variable}_FILE", str(path))
    store = objects(url).store
    assert store.config[key] == secret  # type: ignore[union-attr, literal-required]
    assert credential_files(url) == [(f"{variable}_FILE", path)]
    monkeypatch.setenv(variable, "another")
    with pytest.raises(InvalidArgument, match=f"^{variable} and {variable}_FILE are both set"):
        objects(url)


def test_half_of_a_key_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "me")
    with pytest.raises(InvalidArgument, match=r"^AWS_ACCESS_KEY_ID is set without the other half of the key$"):
        Blobs("s3://bucket")
