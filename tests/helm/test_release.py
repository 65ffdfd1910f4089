"""Packages of the chart, signed by a real key, and the manifests for a scanner."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import helm_python
import pytest
import yaml
from typer.testing import CliRunner

from helm.release import app
from tests.helm.support.charts import CI_FILES, read_values, render


def test_a_signed_package_is_verified_and_a_changed_one_is_not(tmp_path: Path) -> None:
    if not shutil.which("gpg"):
        pytest.skip("there is no gpg")
    keys = {"secret": tmp_path / "secret.gpg", "public": tmp_path / "public.gpg"}
    home = tmp_path / "gpg"
    home.mkdir(mode=0o700)
    gpg = ["gpg", "--homedir", str(home), "--batch", "--passphrase", "", "--pinentry-mode", "loopback"]
    subprocess.run([*gpg, "--quick-gen-key", "Charts <charts@example.org>", "rsa2048"], check=True, capture_output=True)
    for kind, export in (("secret", "--export-secret-keys"), ("public", "--export")):
        keys[kind].write_bytes(subprocess.run([*gpg, export], check=True, capture_output=True).stdout)
    subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=False)

    folder = tmp_path / "charts"
    result = CliRunner().invoke(app, ["package", str(folder), "--key", "charts@", "--keyring", str(keys["secret"])])
    assert result.exit_code == 0, result.output
    archive = next(folder.glob("sixpoint-*.tgz"))
    assert helm_python.verify(archive, keys["public"])["signed_by"] == ["Charts <charts@example.org>"]
    archive.write_bytes(archive.read_bytes() + b"\0")
    with pytest.raises(helm_python.HelmChartInvalidError):
        helm_python.verify(archive, keys["public"])


def test_a_key_without_a_keyring_is_refused(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["package", str(tmp_path), "--key", "charts@"])
    assert result.exit_code == 2
    assert list(tmp_path.iterdir()) == []


def test_the_manifests_for_a_scanner_are_those_of_the_tests(tmp_path: Path) -> None:
    assert CliRunner().invoke(app, ["render", str(tmp_path)]).exit_code == 0
    for file in CI_FILES:
        written = yaml.load_all((tmp_path / file.name.replace("-values", "")).read_text(), yaml.CSafeLoader)
        assert [document for document in written if document] == render(read_values(file))
