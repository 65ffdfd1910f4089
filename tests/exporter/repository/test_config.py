"""Writing and reading ``config.pbtxt``."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporter.repository.config import ModelConfig, Tensor
from sixpoint.errors import ModelSpecError
from sixpoint.model_spec import ModelSpec

GOLDEN = Path(__file__).parent / "golden" / "config.pbtxt"


def test_the_config_is_the_golden_one(spec: ModelSpec) -> None:
    """After an intended change, write ``to_text()`` to the file and review the difference."""
    assert ModelConfig.of(spec, name="tiny").to_text() == GOLDEN.read_text()


def test_a_config_is_read_back_as_it_was(spec: ModelSpec) -> None:
    config = ModelConfig.of(spec, name="tiny", max_batch_size=3)
    assert ModelConfig.from_text(config.to_text()) == config


def test_a_config_of_another_tool_is_read() -> None:
    text = 'name: "x" backend: "python" input { name: "A" data_type: TYPE_INT32 dims: [-1] }'
    assert ModelConfig.from_text(text) == ModelConfig(
        name="x",
        spec=None,
        inputs=(Tensor("A", "INT32", (-1,)),),
        outputs=(),
        max_batch_size=0,
        versions=1,
        backend="python",
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name: tiny", "not a model config of Triton: 1:7"),
        ('colour: "red"', "colour"),
        ('parameters { key: "sixpoint" value { string_value: "{}" } }', "model spec: input: Field required"),
    ],
)
def test_an_invalid_config_is_explained(text: str, expected: str) -> None:
    with pytest.raises(ModelSpecError, match=expected):
        ModelConfig.from_text(text)
