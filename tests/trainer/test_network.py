"""Files are written whole or not at all, whoever else writes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from trainer.network import write_atomically


def test_two_that_write_one_file_at_once_do_not_take_each_others_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, replace = tmp_path / "split.json", Path.replace

    def other_first(partial: Path, target: Path) -> Path:
        monkeypatch.setattr(Path, "replace", replace)
        write_atomically(path, b"other")
        return partial.replace(target)

    monkeypatch.setattr(Path, "replace", other_first)
    write_atomically(path, b"mine")
    assert path.read_bytes() == b"mine"
    assert list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "split.json").mkdir()
    with pytest.raises(OSError, match="directory"):
        write_atomically(tmp_path / "split.json", b"mine")
    assert [path.name for path in tmp_path.iterdir()] == ["split.json"]
