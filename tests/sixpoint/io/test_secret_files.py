"""Secrets from files: what is read, what is refused, and that no message repeats it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from sixpoint.errors import InvalidArgument
from sixpoint.io.secret_files import environment_without_secrets, exposed_files, secret_from_environment

SECRET = "correct horse, battery; staple"


@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_the_newline_at_the_end_is_no_part_of_the_secret(ending: str, tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(SECRET + ending, newline="")
    assert secret_from_environment("X", {"X_FILE": str(path)}) == SECRET


def test_the_variable_itself_counts_without_a_file_and_nothing_counts_as_not_set(tmp_path: Path) -> None:
    assert secret_from_environment("X", {"X": SECRET, "X_FILE": ""}) == SECRET
    assert secret_from_environment("X", {"X": "", "X_FILE": ""}) is None
    assert secret_from_environment("X", {}) is None


def test_links_as_kubernetes_makes_them_are_followed_also_to_a_new_secret(tmp_path: Path) -> None:
    for folder, secret in (("..1", "old"), ("..2", "new")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "key").write_text(secret)
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "key").symlink_to("..data/key")
    environment = {"X_FILE": str(tmp_path / "key")}
    assert secret_from_environment("X", environment) == "old"
    (tmp_path / "..new").symlink_to("..2")
    (tmp_path / "..new").rename(tmp_path / "..data")
    assert secret_from_environment("X", environment) == "new"


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda path: None, "the file cannot be read (No such file or directory)"),
        (lambda path: path.mkdir(), "must name a file; it names a folder or a device"),
        (lambda path: os.mkfifo(path), "must name a file; it names a folder or a device"),
        (lambda path: path.write_text(""), "the file is empty"),
        (lambda path: path.write_text("\n"), "the file is empty"),
        (lambda path: path.write_text(f"{SECRET}\n{SECRET}\n"), "the file must hold one line of text"),
        (lambda path: path.write_bytes(SECRET.encode() + b"\xff"), "the file must hold one line of text"),
        (lambda path: path.write_text(SECRET * 5000), "the file is larger than 64 KiB; name one with a secret"),
    ],
)
def test_what_is_no_secret_is_refused_without_its_content(
    make: Callable[[Path], object], problem: str, tmp_path: Path
) -> None:
    path = tmp_path / "key"
    make(path)
    with pytest.raises(InvalidArgument) as caught:
        secret_from_environment("X", {"X_FILE": str(path)})
    assert caught.value.message.removeprefix("X_FILE").removeprefix(":").strip() == problem
    # Nothing of it hangs on the error either, as the error of decoding would.
    assert caught.value.__cause__ is None
    assert "horse" not in str(caught.value)


def test_a_path_that_cannot_be_is_refused() -> None:
    with pytest.raises(InvalidArgument, match=r"X_FILE: the file cannot be read \(not a valid path\)"):
        secret_from_environment("X", {"X_FILE": "a\0b"})


def test_a_variable_and_its_file_exclude_each_other(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(SECRET)
    with pytest.raises(InvalidArgument, match=r"^X and X_FILE are both set: unset one of them$"):
        secret_from_environment("X", {"X": SECRET, "X_FILE": str(tmp_path / "key")})


def test_a_file_that_everybody_may_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(SECRET)
    path.chmod(0o640)
    assert exposed_files([("X_FILE", path), ("Y_FILE", tmp_path / "missing")]) == []
    path.chmod(0o644)
    (sentence,) = exposed_files([("X_FILE", path)])
    assert sentence.startswith("the file of X_FILE has the mode 0644: every user of this machine may read it")


def test_a_program_of_others_gets_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["SIXPOINT_TRITON_KEY", "sixpoint_database_url", "AWS_SECRET_ACCESS_KEY", "PGPASSWORD", "HF_TOKEN"]
    for name in names:
        monkeypatch.setenv(name, SECRET)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    environment = environment_without_secrets()
    assert SECRET not in environment.values()
    assert environment["CUDA_VISIBLE_DEVICES"] == "0"
    assert "PATH" in environment
