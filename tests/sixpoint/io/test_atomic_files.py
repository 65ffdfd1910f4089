from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from sixpoint.io import atomic_files
from sixpoint.io.atomic_files import flush_tree, is_temporary, link_or_copy, temporary_path, write_file


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_written_or_replaced(tmp_path: Path) -> None:
    for content in (b"first", b"second"):
        write_file(tmp_path / "split.json", content)
        assert (tmp_path / "split.json").read_bytes() == content
    assert names(tmp_path) == ["split.json"]


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_file(tmp_path / "split.json", b"old")

    def full(path: Path) -> None:
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr(atomic_files, "flush", full)
    with pytest.raises(OSError, match="no space left"):
        write_file(tmp_path / "split.json", b"new")
    assert (tmp_path / "split.json").read_bytes() == b"old"
    assert names(tmp_path) == ["split.json"]


def test_a_folder_of_that_name_stays(tmp_path: Path) -> None:
    (tmp_path / "split.json").mkdir()
    with pytest.raises(OSError, match="directory"):
        write_file(tmp_path / "split.json", b"mine")
    assert names(tmp_path) == ["split.json"]


def test_two_processes_can_write_one_file_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, replace = tmp_path / "split.json", Path.replace

    def after_the_other(temporary: Path, target: Path) -> Path:
        monkeypatch.setattr(Path, "replace", replace)
        write_file(path, b"other")
        return temporary.replace(target)

    monkeypatch.setattr(Path, "replace", after_the_other)
    write_file(path, b"mine")
    assert path.read_bytes() == b"mine"
    assert names(tmp_path) == ["split.json"]


def test_the_caller_may_choose_the_temporary_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    write_bytes = Path.write_bytes

    def noted(path: Path, data: bytes) -> int:
        written.append(path.name)
        return write_bytes(path, data)

    monkeypatch.setattr(Path, "write_bytes", noted)
    write_file(tmp_path / "config.pbtxt", b"x", temporary=tmp_path / ".tmp-1")
    assert written == [".tmp-1"]
    assert names(tmp_path) == ["config.pbtxt"]


def test_the_file_and_its_name_are_flushed_to_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[Path] = []
    monkeypatch.setattr(atomic_files, "flush", flushed.append)
    write_file(tmp_path / "split.json", b"x")
    temporary, folder = flushed
    assert is_temporary(temporary)
    assert folder == tmp_path


def test_a_tree_is_flushed_with_all_that_is_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "model.onnx").write_bytes(b"x")
    flushed: list[Path] = []
    monkeypatch.setattr(atomic_files, "flush", flushed.append)
    flush_tree(tmp_path)
    assert set(flushed) == {tmp_path, tmp_path / "1", tmp_path / "1" / "model.onnx"}


def test_temporary_names_are_told_from_others(tmp_path: Path) -> None:
    assert is_temporary(temporary_path(tmp_path / "image"))
    assert temporary_path(tmp_path / "image") != temporary_path(tmp_path / "image")
    assert not any(is_temporary(tmp_path / name) for name in ("image", ".profile", "image.0123456789abcdef"))


@pytest.mark.parametrize("reason", [None, errno.EXDEV])
def test_a_file_is_linked_or_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reason: int | None) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"voxels")

    def refuse(source: Path, target: Path) -> None:
        raise OSError(reason, "refused")

    if reason is not None:
        monkeypatch.setattr(os, "link", refuse)
    link_or_copy(source, target)
    assert target.read_bytes() == b"voxels"
    assert target.samefile(source) == (reason is None)
    monkeypatch.undo()
    with pytest.raises(FileExistsError):
        link_or_copy(source, target)


def test_a_missing_source_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        link_or_copy(tmp_path / "source", tmp_path / "target")
    assert names(tmp_path) == []
