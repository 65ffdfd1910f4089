"""The exporter does not overwrite what it reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.exporter.command_line import run


@pytest.mark.parametrize("command", ["publish", "export"])
@pytest.mark.parametrize("option", ["--spec", "--weights", "--image", ""])
def test_a_file_of_the_model_that_is_an_input_is_refused(command: str, option: str, tmp_path: Path) -> None:
    card = tmp_path / "models" / "liver" / "card.json"
    card.parent.mkdir(parents=True)
    card.write_text("precious")
    source = [tmp_path / "other.pt", option, card] if option else [card]
    result = run(command, *source, "--name", "liver", "--repository", tmp_path / "models")
    assert result.exit_code == 3
    assert f"cannot write {card}: it would overwrite the input {card}" in result.stderr
    assert card.read_text() == "precious"
