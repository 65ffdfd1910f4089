"""Secret settings: from files, and never shown."""

from __future__ import annotations

import traceback
from pathlib import Path

import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

from gateway.cli import app
from gateway.settings import Settings
from gateway.settings.secrets import secret_fields, secret_files
from sixpoint.errors import InvalidArgument, SixpointError

SECRET = "hunter2"
URL = f"postgresql+psycopg://me:{SECRET}@db/sixpoint"


@pytest.mark.parametrize("variable", ["SIXPOINT_DATABASE_URL_FILE", "sixpoint_database_url_file"])
def test_a_setting_is_read_from_its_file(variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "url"
    path.write_text(f"{URL}\n")
    monkeypatch.setenv(variable, str(path))
    settings = Settings()
    assert settings.database_url.get_secret_value() == URL
    assert SECRET not in f"{settings!r}{settings}{settings.model_dump()}{settings.model_dump_json()}"
    assert list(secret_files(Settings)) == [("SIXPOINT_DATABASE_URL_FILE", path)]


@pytest.mark.parametrize("name", secret_fields(Settings))
def test_every_secret_may_be_in_a_file_and_not_in_both(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "secret"
    path.write_text(SECRET)
    variable = f"SIXPOINT_{name.upper()}"
    monkeypatch.setenv(f"{variable}_FILE", str(path))
    assert getattr(Settings(), name).get_secret_value() == SECRET
    monkeypatch.setenv(variable, SECRET)
    with pytest.raises(InvalidArgument, match=f"^{variable} and {variable}_FILE are both set"):
        Settings()
    # One that is set to nothing counts as not set.
    monkeypatch.setenv(variable, "")
    assert getattr(Settings(), name).get_secret_value() == SECRET


def test_the_urls_are_secret() -> None:
    assert {"database_url", "blobs_url", "triton_key"} <= set(secret_fields(Settings))


def test_an_error_does_not_repeat_what_was_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIXPOINT_PORT", SECRET)
    with pytest.raises(ValidationError) as caught:
        Settings()
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("database_url", f"postgresql+psycopg://me:{SECRET}@127.0.0.1:1/sixpoint"),
        ("database_url", f"{SECRET}://me@db/sixpoint"),
        ("blobs_url", f"{SECRET}://bucket"),
        ("triton_key", f"two lines\n{SECRET}"),
    ],
)
def test_a_start_that_fails_shows_no_secret(
    name: str, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "secret"
    path.write_text(value)
    for variable, setting in {
        f"SIXPOINT_{name.upper()}_FILE": path,
        "SIXPOINT_STATE_FOLDER": tmp_path / "state",
        "SIXPOINT_PORT": 0,
        "SIXPOINT_LOG_LEVEL": "DEBUG",
    }.items():
        monkeypatch.setenv(variable, str(setting))
    # The log goes to pytest's, not to a stream that ends with the command.
    monkeypatch.setattr("gateway.cli.configure", lambda *_: None)
    caplog.set_level("DEBUG")
    done = CliRunner().invoke(app, ["serve"])
    assert isinstance(done.exception, SixpointError)
    # As Python would print the error, with what it stems from.
    shown = "".join(traceback.format_exception(done.exception))
    for text in (done.output, caplog.text, shown):
        assert SECRET not in text
