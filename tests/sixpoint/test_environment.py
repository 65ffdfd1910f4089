"""Misspelt environment variables are named, and all that exist are known."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from sixpoint.environment import (
    CLIENT_VARIABLES,
    EXPORTER_VARIABLES,
    GATEWAY_VARIABLES,
    misspelt_variables,
    repository_option,
)
from tests.support.paths import ROOT

KNOWN = CLIENT_VARIABLES | EXPORTER_VARIABLES | GATEWAY_VARIABLES


def test_the_variables_of_the_gateway_are_its_settings() -> None:
    settings = pytest.importorskip("gateway.settings").Settings
    files = {f"{name}_file" for name in pytest.importorskip("gateway.settings.secrets").secret_fields(settings)}
    # Else one variable would mean two things.
    assert not files & settings.model_fields.keys()
    assert {f"SIXPOINT_{name.upper()}" for name in {*settings.model_fields, *files}} == GATEWAY_VARIABLES


def test_every_variable_that_the_code_names_is_known() -> None:
    files = [path for folder in ("sixpoint", "exporter", "trainer") for path in (ROOT / folder).rglob("*.py")]
    named = {name for path in files for name in re.findall(r"\bSIXPOINT_[A-Z_]*[A-Z]\b", path.read_text())}
    assert named >= CLIENT_VARIABLES | EXPORTER_VARIABLES
    # Docstrings of the library mention settings of the gateway, too.
    assert named <= KNOWN


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("SIXPOINT_SERVRE", "; did you mean SIXPOINT_SERVER?"),
        ("SIXPOINT_TRITON_URI", "; did you mean SIXPOINT_TRITON_URL?"),
        ("SIXPOINT_MAX_SESSION", "; did you mean SIXPOINT_MAX_SESSIONS?"),
        ("Sixpoint_Server", "; did you mean SIXPOINT_SERVER?"),
        ("SIXPOINT_XYZ", ""),
    ],
)
def test_a_misspelt_variable_is_named_with_the_nearest_one(name: str, advice: str) -> None:
    sentence = f"the environment variable {name} is no setting of sixpoint and is ignored{advice}"
    assert misspelt_variables(["HOME", "SIXPOINT_SERVER", name]) == [sentence]


@pytest.mark.parametrize(
    "names", [KNOWN, ["sixpoint_port", "_SIXPOINT_COMPLETE", "MY_SIXPOINT_X", "SIXPOINTS"]], ids=["known", "others"]
)
def test_nothing_is_said_of_others(names: Iterable[str]) -> None:
    assert misspelt_variables(names) == []


def test_what_kubernetes_sets_for_a_service_is_no_misspelling() -> None:
    names = ["SIXPOINT_SERVICE_HOST", "SIXPOINT_SERVICE_PORT_GRPC", "SIXPOINT_PORT_50051_TCP_ADDR", "SIXPOINT_WEB_PORT"]
    assert misspelt_variables(["KUBERNETES_SERVICE_HOST", *names]) == []
    assert len(misspelt_variables(names)) == 4
    assert len(misspelt_variables(["KUBERNETES_SERVICE_HOST", "SIXPOINT_SERVRE"])) == 1


def test_a_printed_command_names_a_repository_that_is_not_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SIXPOINT_STATE_FOLDER", raising=False)
    monkeypatch.delenv("SIXPOINT_TRITON_MODEL_REPOSITORY", raising=False)
    assert repository_option("state/model_repository") == ""
    assert repository_option(str(tmp_path / "state" / "model_repository")) == ""
    assert repository_option("/srv/our models") == " --repository '/srv/our models'"
    assert repository_option("s3://models/production") == " --repository s3://models/production"
    monkeypatch.setenv("SIXPOINT_TRITON_MODEL_REPOSITORY", "s3://models/production")
    assert repository_option("s3://models/production") == ""
    assert repository_option("state/model_repository") == " --repository state/model_repository"
