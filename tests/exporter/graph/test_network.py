"""Specs without a network, or with one that does not match their tensors."""

from __future__ import annotations

from typing import Any

import pytest

from exporter.graph.network import build_network
from sixpoint.errors import ModelSpecError
from sixpoint.model_spec import ModelSpec


def build(mapping: dict[str, Any]) -> None:
    build_network(ModelSpec.from_mapping(mapping))


def test_a_spec_without_a_network_is_refused(mapping: dict[str, Any]) -> None:
    del mapping["network"]
    with pytest.raises(ModelSpecError, match="names no network"):
        build(mapping)


@pytest.mark.parametrize("name", ["UNett", "os", "warnings", "__name__"])
def test_an_unknown_network_name_is_refused(name: str, mapping: dict[str, Any]) -> None:
    mapping["network"]["name"] = name
    with pytest.raises(
        ModelSpecError, match=f"has no network {name}" + (": did you mean UNet" if name == "UNett" else "")
    ):
        build(mapping)


def test_invalid_network_arguments_are_explained(mapping: dict[str, Any]) -> None:
    mapping["network"]["arguments"]["depth"] = 3
    with pytest.raises(ModelSpecError, match=r"UNet cannot be built: .*depth"):
        build(mapping)


def test_a_wrong_number_of_input_channels_is_explained(mapping: dict[str, Any]) -> None:
    mapping["input"]["channels"].pop()
    with pytest.raises(ModelSpecError, match=r"cannot take the spec's input \[5, 16, 16, 24\]: "):
        build(mapping)


def test_a_grid_that_the_network_cannot_halve_is_explained(mapping: dict[str, Any]) -> None:
    mapping["roi"]["size"] = [16, 16, 15]
    with pytest.raises(ModelSpecError, match=r"\[6, 15, 16, 16\]|\[1, 16, 16, 16\]"):
        build(mapping)


def test_a_wrong_number_of_output_channels_is_explained(mapping: dict[str, Any]) -> None:
    mapping["network"]["arguments"]["out_channels"] = 2
    with pytest.raises(ModelSpecError, match=r"returns \[2, 16, 16, 24\], and the spec expects \[1, 16, 16, 24\]"):
        build(mapping)
