"""Checkpoints that must not be loaded."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch

from exporter.graph.network import build_network
from exporter.sources.checkpoint import load_weights, read_checkpoint
from sixpoint.errors import InvalidArgument
from sixpoint.model_spec import ModelSpec
from tests.exporter.unsafe import Bomb

State = dict[str, torch.Tensor]


def save(content: object, folder: Path) -> Path:
    path = folder / "weights.pt"
    torch.save(content, path)
    return path


def test_a_state_dict_is_read_with_or_without_a_key(state: State, tmp_path: Path) -> None:
    for content in (state, {"state_dict": state, "epoch": 3}):
        found = read_checkpoint(save(content, tmp_path))
        assert found.keys() == state.keys()
        assert all(torch.equal(found[key], state[key]) for key in state)


def test_code_in_a_checkpoint_is_refused_and_does_not_run(state: State, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    path = save({"state_dict": state, "extra": Bomb(mark)}, tmp_path)
    with pytest.raises(InvalidArgument, match=r"Python objects \(\S*mkdir\).*state_dict\(\) alone"):
        read_checkpoint(path)
    assert not mark.exists()


def test_a_pickled_network_is_refused(spec: ModelSpec, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match=r"Python objects \(monai\.\S+\)"):
        read_checkpoint(save(build_network(spec), tmp_path))


@pytest.mark.parametrize("part", [0, 10, 0.5, 0.99])
def test_a_truncated_checkpoint_is_reported(part: float, checkpoint: Path, tmp_path: Path) -> None:
    content = checkpoint.read_bytes()
    path = tmp_path / "cut.pt"
    path.write_bytes(content[: int(part * len(content)) if part < 1 else int(part)])
    with pytest.raises(InvalidArgument, match=r"cut\.pt is not a PyTorch checkpoint, or"):
        read_checkpoint(path)


@pytest.mark.parametrize("content", [[1, 2], {}, torch.zeros(3), {"state_dict": {"a": 1.0}}, {"epoch": 3}])
def test_content_that_is_not_a_state_dict_is_reported(content: object, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="a state dict"):
        read_checkpoint(save(content, tmp_path))


def test_a_file_of_another_kind_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "list.pkl"
    for content in (b"hello", pickle.dumps([1, 2, 3])):
        path.write_bytes(content)
        with pytest.raises(InvalidArgument, match=r"not a PyTorch checkpoint|a state dict"):
            read_checkpoint(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_reported(value: float, state: State, tmp_path: Path) -> None:
    name = next(iter(state))
    broken = {**state, name: torch.full_like(state[name], value)}
    with pytest.raises(InvalidArgument, match=rf"NaN or infinite: {name}"):
        read_checkpoint(save(broken, tmp_path))


def test_weights_of_another_network_are_reported(spec: ModelSpec, state: State) -> None:
    network = build_network(spec)
    name, *others = state
    renamed = {**{key: state[key] for key in others}, "stranger": state[name]}
    with pytest.raises(InvalidArgument, match=rf"does not fit this UNet: missing: {name}; unknown: stranger"):
        load_weights(network, renamed)
    with pytest.raises(InvalidArgument, match=rf"wrong shape: {name}"):
        load_weights(network, {**state, name: torch.zeros(1)})
