"""The licence of a network follows the start weights and the data; what is not stated is unknown."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sixpoint.model_spec import ModelSpec
from tests.trainer.conftest import Maker
from tests.trainer.training.start.models import small_spec
from trainer.data.datasets import Dataset, dataset_digest, read_dataset
from trainer.training.start import StartFile, combine_licences, describe_origin

SPEC = small_spec()


def start_of(spec: ModelSpec | None) -> StartFile:
    return StartFile(file=Path("model.onnx"), name="mine, version 2", spec=spec, sha256="abc")


@pytest.fixture(scope="module")
def dataset(make_decathlon: Maker) -> Dataset:
    return read_dataset(make_decathlon(cases=2))


@pytest.mark.parametrize(
    ("weights", "data", "combined"),
    [
        ("CC-BY-SA-4.0", "CC BY-SA 4.0", "CC-BY-SA-4.0"),
        ("Apache-2.0", "CC-BY-4.0", "weights: Apache-2.0; data: CC-BY-4.0"),
        ("Apache-2.0", None, "Apache-2.0"),
        (None, "CC0-1.0", "CC0-1.0"),
        (None, "", "unknown"),
        ("Apache-2.0", "", "unknown"),
        ("Apache-2.0", "Unknown", "unknown"),
        ("", "CC0-1.0", "unknown"),
        ("unknown", None, "unknown"),
        ("weights: Apache-2.0; data: CC-BY-4.0", "CC BY 4.0", "weights: Apache-2.0; data: CC-BY-4.0"),
        ("weights: Apache-2.0; data: CC-BY-4.0", "CC0-1.0", "weights: Apache-2.0, CC-BY-4.0; data: CC0-1.0"),
        ("weights: A, B; data: C", "D", "weights: A, B, C; data: D"),
    ],
)
def test_licences_are_combined_and_never_invented(weights: str | None, data: str | None, combined: str) -> None:
    assert combine_licences(weights, data) == combined


def test_both_origins_are_recorded(dataset: Dataset) -> None:
    earlier = {"dataset": "hips", "data_licence": "CC-BY-SA-4.0", "dataset_sha256": "1"}
    trained = SPEC.model_copy(update={"provenance": earlier})
    origin = describe_origin(trained, start=start_of(trained), dataset=dataset)
    assert origin["licence"] == "weights: CC-BY-SA-4.0; data: CC0-1.0"
    assert origin["provenance"] == {
        "started_from": "mine, version 2",
        "started_from_sha256": "abc",
        "weights_licence": "CC-BY-SA-4.0",
        "dataset": "Balls",
        "dataset_sha256": dataset_digest(dataset),
        "data_licence": "CC0-1.0",
        "earlier_datasets": "hips (CC-BY-SA-4.0)",
    }


def test_a_network_trained_anew_did_not_start_from_what_its_spec_names(dataset: Dataset) -> None:
    facts = {
        "started_from": "hips",
        "started_from_sha256": "1",
        "earlier_datasets": "a (MIT)",
        "started_at_random": "x",
    }
    spec = SPEC.model_copy(update={"provenance": {**facts, "author": "me"}})
    assert describe_origin(spec, start=None, dataset=dataset)["provenance"].keys() == {
        *("author", "dataset", "dataset_sha256", "data_licence"),
    }
    assert "started_at_random" not in describe_origin(spec, start=start_of(spec), dataset=dataset)["provenance"]


def test_what_is_not_stated_is_unknown_and_says_how_to_state_it(dataset: Dataset) -> None:
    silent = replace(dataset, licence="")
    origin = describe_origin(SPEC, start=start_of(SPEC), dataset=silent)
    assert origin["licence"] == "unknown"
    assert origin["provenance"]["licence_note"] == (
        "the licence of the data (Balls) is not stated: state it as licence in dataset.json, or with --licence"
    )
    stated = describe_origin(SPEC, start=start_of(SPEC), dataset=silent, licence="CC BY-SA 4.0")
    assert stated["licence"] == "CC-BY-SA-4.0"
    assert "licence_note" not in stated["provenance"]
    origin = describe_origin(SPEC, start=start_of(None), dataset=dataset)
    assert origin["licence"] == "unknown"
    assert origin["provenance"]["licence_note"].startswith("the licence of the weights to start from (mine, version 2)")


def test_a_network_of_synthetic_scenes_alone_keeps_the_licence_of_its_spec(dataset: Dataset) -> None:
    assert describe_origin(SPEC, start=None, dataset=None) == {"licence": "CC-BY-SA-4.0", "provenance": {}}
    assert describe_origin(SPEC, start=None, dataset=dataset)["licence"] == "CC0-1.0"


@pytest.mark.parametrize(
    ("stated", "passed_on"), [("unknown", "unknown"), ("CC0-1.0", "weights: Apache-2.0; data: CC0-1.0")]
)
def test_a_checkpoint_of_an_older_trainer_does_not_pass_on_the_templates_licence(stated: str, passed_on: str) -> None:
    provenance = {"data_licence": stated, "dataset": "mine"}
    old = SPEC.model_copy(update={"licence": "Apache-2.0", "provenance": provenance})
    assert describe_origin(SPEC, start=start_of(old), dataset=None)["licence"] == passed_on


def test_the_digest_of_a_dataset_follows_its_files(make_pairs: Maker) -> None:
    root = make_pairs(cases=2)
    first = dataset_digest(read_dataset(root))
    assert first == dataset_digest(read_dataset(root))
    assert len(first) == 64
    with next((root / "labels").iterdir()).open("ab") as file:
        file.write(b"\0")
    assert dataset_digest(read_dataset(root)) != first
