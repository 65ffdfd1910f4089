"""Somebody decides between annotators who disagree."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack

import numpy as np
import pytest

import sixpoint
from sixpoint import errors
from sixpoint._typing import Array
from sixpoint.datasets import annotations_to_decide, dataset_agreement, find_disagreements, majority_masks
from sixpoint.volume import Volume
from tests.end_to_end.command_line import run
from tests.support.images import noisy_volume

pytestmark = pytest.mark.filterwarnings("ignore::sixpoint.ImplausibleImageWarning")


def _box(first: int, last: int) -> Array:
    mask = np.zeros((16, 18, 20), np.uint8)
    mask[3:9, 2:9, first:last] = 1
    return mask


@pytest.fixture
def people(address: str) -> Iterator[dict[str, sixpoint.Client]]:
    with ExitStack() as stack:
        names = ("anna", "ben", "cleo")
        yield {owner: stack.enter_context(sixpoint.Client(address, owner=owner)) for owner in names}


def _save(people: dict[str, sixpoint.Client], name: str) -> dict[str, list[str]]:
    """Cases on which the readers agree ("same"), disagree a little ("near") and wholly ("apart"); ids by case."""
    people["anna"].datasets.create(name, labels=["liver", "spleen"])
    boxes = {
        "apart": [(0, 4), (10, 14), (12, 16)],
        "near": [(4, 12), (5, 13)],
        "same": [(4, 12), (4, 12)],
    }
    ids = {}
    for number, (case, edges) in enumerate(boxes.items()):
        volume = noisy_volume((20, 18, 16))
        volume = Volume(volume.array + np.int16(number + 50), volume.geometry)
        digest = people["anna"].datasets.add_image(name, volume, case_name=case).digest
        ids[case] = [
            client.datasets.add_masks(name, digest, {"liver": _box(*edge), "spleen": _box(0, 0)}).id
            for client, edge in zip(people.values(), edges, strict=False)
        ]
    return ids


def test_readers_who_disagree_are_listed_and_one_of_them_decides(
    people: dict[str, sixpoint.Client], address: str
) -> None:
    ids, anna = _save(people, "deciding"), people["anna"]
    listed = find_disagreements(anna, "deciding", below=0.9)
    assert [(each.case_name, each.label) for each in listed] == [("apart", "liver"), ("near", "liver")]
    assert [each.dice for each in listed] == [0, pytest.approx(7 / 8)]
    assert {info.id for info in listed[0].annotations} == set(ids["apart"])
    assert [each.case_name for each in find_disagreements(anna, "deciding")] == ["apart"]
    with pytest.raises(errors.InvalidArgument, match="limit of Dice"):
        find_disagreements(anna, "deciding", below=float("nan"))
    before = dataset_agreement(anna, "deciding")

    taken = ids["near"][1]
    done = run("sixpoint", "dataset", "adjudicate", "deciding", "near", "--take", taken, server=address)
    assert done.stdout == "accepted version 2 by ben; rejected 1 as adjudicated\n", done.stderr
    other = anna.datasets.annotation(ids["near"][0])
    assert (other.state, other.reason, other.adjudicated_by) == ("rejected", "adjudicated", taken)
    assert [each.case_name for each in find_disagreements(anna, "deciding", below=0.9)] == ["apart"]
    # What the readers said stays what they said.
    assert dataset_agreement(anna, "deciding") == before
    again = run("sixpoint", "dataset", "adjudicate", "deciding", "near", "--take", taken, server=address)
    assert (again.returncode, "there is nothing to decide" in again.stderr) == (3, True), again.stderr
    lines = run("sixpoint", "dataset", "disagreements", "deciding", server=address).stdout.splitlines()
    assert [line.split()[-1] for line in lines[1:]] == ["cleo", "ben", "anna"]


def test_a_session_begins_with_the_majority_and_decides(people: dict[str, sixpoint.Client], address: str) -> None:
    ids, anna = _save(people, "majority"), people["anna"]
    among = annotations_to_decide(anna, "majority", "apart")
    masks = majority_masks(anna, among)
    assert np.array_equal(masks["liver"], _box(12, 14))
    assert not masks["spleen"].any()
    before = dataset_agreement(anna, "majority")
    command = ("sixpoint", "dataset", "adjudicate", "majority", "apart")
    begun = run(*command, "--begin", "majority", server=address)
    found = re.search(r"session (\w+) begins with: liver\n", begun.stdout)
    assert found, begun.stderr
    assert begun.stdout.splitlines()[-1].endswith("--absent 'spleen'")
    session = found[1]
    decided = run(*command, "--session", session, "--absent", "spleen", "--json", server=address)
    facts = json.loads(decided.stdout)
    assert (facts["state"], facts["voxels"]) == ("accepted", {"liver": int(_box(12, 14).sum()), "spleen": 0})
    assert set(facts["among"]) == set(ids["apart"])
    for each in ids["apart"]:
        info = anna.datasets.annotation(each)
        assert (info.state, info.adjudicated_by) == ("rejected", facts["id"])
    # The mask that was made to decide is no reader's.
    assert dataset_agreement(anna, "majority") == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "say one of --take"),
        (("--take", "x", "--begin", "majority"), "say one of --take"),
        (("--take", "x", "--absent", "spleen"), "--absent goes with --session"),
        (("--begin", "nobody"), "none of the annotations"),
        (("--take", "0" * 32), "there is no annotation of this id"),
    ],
)
def test_what_adjudicate_refuses(
    people: dict[str, sixpoint.Client], address: str, options: tuple[str, ...], message: str
) -> None:
    name = " ".join(("refused", *options))
    _save(people, name)
    refused = run("sixpoint", "dataset", "adjudicate", name, "apart", *options, server=address)
    assert refused.returncode in (2, 3, 4)
    assert message in " ".join(refused.stderr.replace("│", " ").split())
