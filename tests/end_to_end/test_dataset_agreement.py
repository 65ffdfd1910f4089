"""Several people annotate the same images: how far they agree, and what waits for a review."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import sixpoint
from sixpoint import errors
from sixpoint._typing import Array
from sixpoint.datasets import dataset_agreement
from sixpoint.metrics import surface_dice
from sixpoint.volume import Volume
from tests.end_to_end.command_line import run
from tests.support.images import noisy_volume

pytestmark = pytest.mark.filterwarnings("ignore::sixpoint.ImplausibleImageWarning")


def _volume(number: int) -> Volume:
    volume = noisy_volume((20, 18, 16))
    return Volume(volume.array + np.int16(number), volume.geometry)


def _box(first: int, last: int) -> Array:
    mask = np.zeros((16, 18, 20), np.uint8)
    mask[3:9, 2:9, first:last] = 1
    return mask


NOTHING = _box(0, 0)


@pytest.fixture
def people(address: str) -> Iterator[dict[str, sixpoint.Client]]:
    with ExitStack() as stack:
        yield {owner: stack.enter_context(sixpoint.Client(address, owner=owner)) for owner in ("anna", "ben")}


def _save(people: dict[str, sixpoint.Client], name: str) -> dict[str, str]:
    """Three cases of both, with another version of anna's that does not count; ids of ben's by case."""
    anna, ben = people["anna"], people["ben"]
    anna.datasets.create(name, labels=["liver", "spleen"])
    saved = {
        "a": ({"liver": _box(4, 12), "spleen": NOTHING}, {"liver": _box(4, 12), "spleen": NOTHING}),
        "b": ({"liver": _box(4, 12), "spleen": _box(14, 18)}, {"liver": _box(8, 16)}),
        "c": ({"spleen": _box(14, 18)}, {"spleen": NOTHING}),
    }
    ids = {}
    for number, (case, (first, second)) in enumerate(saved.items()):
        digest = anna.datasets.add_image(name, _volume(number), case_name=case).digest
        anna.datasets.add_masks(name, digest, {"liver": _box(0, 2)})
        anna.datasets.add_masks(name, digest, first)
        rejected = anna.datasets.add_masks(name, digest, {"liver": _box(0, 3)})
        anna.datasets.review(rejected.id, "rejected", reason="on purpose")
        anna.datasets.add_masks(name, digest, {"liver": _box(0, 4)}, state="draft")
        ids[case] = ben.datasets.add_masks(name, digest, second).id
    anna.datasets.add_masks(name, anna.datasets.add_image(name, _volume(9)).digest, {"liver": _box(4, 12)})
    return ids


def test_agreement(people: dict[str, sixpoint.Client], address: str) -> None:
    ids = _save(people, "agreement")
    found = dataset_agreement(people["anna"], "agreement", tolerance_mm=1)
    liver, spleen = found.labels
    assert (found.case_count, liver.pair_count, spleen.pair_count) == (3, 2, 2)
    assert liver.dice == pytest.approx((1 + 0.5) / 2)
    near = surface_dice(_box(4, 12), _box(8, 16), (1.0, 1.0, 1.0), tolerance_mm=1)
    assert 0 < near < 1
    assert liver.nsd == pytest.approx((1 + near) / 2)
    assert liver.kappa is None
    # Of a both say that there is none, of c one does, and of b ben does not know.
    assert (spleen.dice, spleen.nsd) == (0, 0)
    assert spleen.kappa == pytest.approx((0.5 - 0.625) / (1 - 0.625))
    assert liver.worst is not None
    assert (liver.worst.case_name, liver.worst.annotators) == ("b", ("anna", "ben"))
    assert liver.worst.annotations[1] == ids["b"]
    with pytest.raises(errors.InvalidArgument, match="tolerance"):
        dataset_agreement(people["anna"], "agreement", tolerance_mm=-1)
    done = run("sixpoint", "dataset", "agreement", "agreement", server=address)
    assert done.stdout.splitlines()[0] == "cases that several people annotated: 3"
    assert done.stdout.splitlines()[2].split()[:3] == ["liver", "2", "0.750"]


def test_nobody_agrees_alone(people: dict[str, sixpoint.Client]) -> None:
    anna = people["anna"]
    anna.datasets.create("alone", labels=["liver"])
    digest = anna.datasets.add_image("alone", _volume(0)).digest
    for last in (4, 5):
        anna.datasets.add_masks("alone", digest, {"liver": _box(0, last)})
    with pytest.raises(errors.DatasetError, match="annotations of two people"):
        dataset_agreement(anna, "alone")


@pytest.mark.slow
def test_what_waits_for_a_review_is_written_to_files(
    people: dict[str, sixpoint.Client], address: str, tmp_path: Path
) -> None:
    ids = _save(people, "review")
    people["anna"].datasets.review(ids["a"], "accepted")
    digest = people["anna"].datasets.images("review")[2].digest
    people["ben"].datasets.add_masks("review", digest, {"liver": _box(4, 12), "spleen": _box(8, 16)})
    run("sixpoint", "dataset", "review", "review", "--case", "c", "-o", tmp_path / "overlap", server=address)
    for number, box in ((1, _box(4, 12)), (2, _box(8, 16))):
        assert np.array_equal(Volume.read(tmp_path / "overlap" / f"c-v6-label-{number}.nii.gz").array, box)
    arguments = ("sixpoint", "dataset", "review", "review", "--case", "b", "-o", tmp_path / "out")
    done = run(*arguments, server=address)
    assert done.stdout.splitlines()[-2].endswith("b version 5 by ben: liver")
    assert done.stdout.splitlines()[-1] == f"wrote 3 to {tmp_path / 'out'}"
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "b.nii.gz",
        *(f"b-v{number}.{kind}" for number in (1, 2, 5) for kind in ("png", "seg.nrrd")),
    }
    assert Volume.read(tmp_path / "out" / "b.nii.gz").digest == _volume(1).digest
    written = Volume.read(tmp_path / "out" / "b-v2.seg.nrrd")
    assert np.array_equal(written.array, _box(4, 12) + 2 * _box(14, 18))
    with Image.open(tmp_path / "out" / "b-v2.png") as picture:
        assert picture.width > picture.height > 100
    assert run(*arguments, server=address).returncode == 3
    listed = json.loads(run("sixpoint", "dataset", "review", "review", "--json", server=address).stdout)
    assert ids["a"] not in {each["id"] for each in listed}
    assert {ids["b"], ids["c"]} <= {each["id"] for each in listed}
