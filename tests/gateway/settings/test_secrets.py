"""Secret settings: from files, and never shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from gateway.settings import Settings
from gateway.settings.secrets import secret_fields, secret_files
from sixpoint.errors import InvalidArgument

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
