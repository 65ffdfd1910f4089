"""A patient is traced through dataset, sessions, exports and models, and removed; all with the command line."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import sixpoint
from sixpoint import errors
from sixpoint.client import AsyncClient
from sixpoint.datasets import TrainedVersion, export_dataset, exports_with, verify_manifest, versions_trained_on
from sixpoint.volume import Volume
from tests.end_to_end.command_line import run
from tests.support.images import noisy_volume
from tests.support.paths import ROOT

pytestmark = pytest.mark.filterwarnings("ignore::sixpoint.ImplausibleImageWarning")


@pytest.fixture
def client(address: str) -> Iterator[sixpoint.Client]:
    with sixpoint.Client(address) as client:
        yield client


@pytest.fixture
def saved(client: sixpoint.Client, request: pytest.FixtureRequest) -> str:
    """A dataset with two images of one patient and one of another, all accepted."""
    name = f"forget {request.node.name}"
    client.datasets.create(name, labels=["liver"], validation_share=0)
    mask = np.zeros((16, 18, 20), np.uint8)
    for number, patient in enumerate(("MRN 5", "MRN 5", "MRN 6")):
        volume = noisy_volume((20, 18, 16))
        image = Volume(volume.array + np.int16(10 + number), volume.geometry)
        mask[3:9, 2:9, 4 : 10 + number] = 1
        digest = client.datasets.add_image(name, image, case_name=f"case-{number}", patient=patient).digest
        client.datasets.review(client.datasets.add_masks(name, digest, {"liver": mask}).id, "accepted")
    return name


def _learn(repository: Path, digest: str) -> None:
    """A model repository whose first version says that it learnt from an annotation."""
    version = repository / "segmentation_hippocampus" / "1"
    shutil.copytree(ROOT / "model_repository" / "segmentation_hippocampus", version.parent)
    record = json.loads((version / "version.json").read_bytes())
    record["spec"].setdefault("provenance", {})["annotations"] = f"0123456789abcdef {digest[:16]}"
    (version / "version.json").write_text(json.dumps(record))


@pytest.mark.slow
def test_a_patient_is_traced_and_removed(client: sixpoint.Client, saved: str, address: str, tmp_path: Path) -> None:
    learnt = client.datasets.annotations(saved)[-1]
    _learn(tmp_path / "models", learnt.digest)
    export = tmp_path / "exports" / "first"
    export_dataset(client, saved, export, modality="CT")
    where = ("--folder", tmp_path / "exports", "--repository", tmp_path / "models")
    case = next(each for each in client.datasets.images(saved) if each.digest == learnt.image_digest).case_name
    arguments = (saved, "--case", case, "--whole-patient", *where)

    traced = run("sixpoint", "dataset", "traces", *arguments, server=address).stdout
    assert f"export {export} has it" in traced
    assert "segmentation_hippocampus 1 learnt from it, annotations: 1" in traced
    found = json.loads(run("sixpoint", "dataset", "traces", *arguments, "--json", server=address).stdout)
    assert len(found["images"]) == len([each for each in client.datasets.images(saved) if each.case_name in traced])
    assert found["versions"] == [{"model": "segmentation_hippocampus", "version": 1, "annotation_count": 1}]

    dry = run("sixpoint", "dataset", "remove", *arguments, server=address).stdout
    assert "nothing was removed" in dry
    assert len(client.datasets.images(saved)) == 3
    removed = run("sixpoint", "dataset", "remove", *arguments, "--yes", server=address).stdout
    assert f"removed {case}: annotations 1, sessions 0, voxels deleted" in removed
    assert "train it again" in removed
    assert "delete it, and export again" in removed
    left = client.datasets.images(saved)
    assert 0 < len(left) < 3
    assert not {each.digest for each in left} & {each["digest"] for each in found["images"]}
    with pytest.raises(errors.ImageNotFound):
        client.datasets.download(learnt.image_digest)
    # The old export is as it was, and says what is in it; a new one has only what is left.
    verify_manifest(export)
    export_dataset(client, saved, tmp_path / "exports" / "second", modality="CT")
    gone = {each["digest"] for each in found["images"]}
    assert exports_with(tmp_path / "exports", gone) == [export]
    again = run("sixpoint", "dataset", "remove", *arguments, "--yes", server=address)
    assert (again.returncode != 0, "has no case" in again.stderr) == (True, True)


async def _forget(address: str, name: str) -> tuple[int, int]:
    async with AsyncClient(address) as client:
        found = await client.datasets.trace(name, patient="MRN 5")
        removed = await client.datasets.remove(name, patient="MRN 5", end_sessions=True)
        with pytest.raises(errors.DatasetError, match="no image of this patient"):
            await client.datasets.trace(name, patient="MRN 5")
    return len(found), sum(each.annotation_count for each in removed)


def test_a_program_removes_a_patient_by_the_patients_own_name(
    client: sixpoint.Client, saved: str, address: str
) -> None:
    assert asyncio.run(_forget(address, saved)) == (2, 2)
    assert [each.case_name for each in client.datasets.images(saved)] == ["case-2"]


def test_whose_images_are_meant_must_be_said(saved: str, address: str) -> None:
    for arguments in ((), ("--case", "case-0", "--patient", "MRN 5")):
        done = run("sixpoint", "dataset", "remove", saved, *arguments, "--yes", server=address)
        assert (done.returncode != 0, "whose images" in done.stderr) == (True, True)


def test_a_damaged_record_is_no_all_clear(tmp_path: Path) -> None:
    _learn(tmp_path, "a" * 64)
    assert versions_trained_on(tmp_path, ["a" * 64]) == [TrainedVersion("segmentation_hippocampus", 1, 1)]
    assert versions_trained_on(tmp_path, ["b" * 64]) == []
    (tmp_path / "segmentation_hippocampus" / "1" / "version.json").write_text("{")
    with pytest.raises(errors.DatasetError, match="cannot be read"):
        versions_trained_on(tmp_path, ["a" * 64])
