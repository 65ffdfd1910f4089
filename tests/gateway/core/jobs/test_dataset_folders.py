"""A dataset of the gateway written to a folder for the trainer, and not written again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from gateway.core.datasets import AnnotationState, DatasetLabel, ModelDrafts, NewImage, Split
from gateway.core.jobs import DatasetFolders
from gateway.settings import Settings
from gateway.stores import Stores
from sixpoint.datasets import read_manifest, verify_manifest
from sixpoint.errors import DatasetError, DatasetNotFound
from sixpoint.geometry import Geometry
from sixpoint.mask import PackedMask, pack
from sixpoint.volume import Volume
from tests.gateway.core.images.image_stores import upload_image
from tests.support.callers import caller

ADA = caller("ada")
CASES = ("one", "two", "three")


def image(number: int) -> Volume:
    return Volume(np.full((4, 5, 6), number, np.int16), Geometry(size=(6, 5, 4), spacing=(1.0, 2.0, 3.0)))


def mask(number: int) -> PackedMask:
    array = np.zeros((4, 5, 6), np.uint8)
    array[number] = 1
    return pack(array.astype(np.bool_), (0, 0, 0))


@pytest.fixture
async def stores(tmp_path: Path) -> AsyncIterator[Stores]:
    """Three images, of which two have an accepted annotation."""
    stores = Stores(Settings(state_folder=tmp_path / "state"))
    await stores.database.start()
    await stores.images.start()
    labels = [DatasetLabel(7, "organ")]
    await stores.datasets.create("liver", labels=labels, validation_share=0.5, test_share=0.0, principal=ADA)
    drafts = ModelDrafts(repository=stores.saved, limit=2**30)
    for number, case in enumerate(CASES):
        volume = image(number)
        await upload_image(stores.images, volume, principal=ADA)
        await stores.datasets.add_images("liver", [NewImage(volume.digest, case)], principal=ADA)
        await drafts.save("liver", volume.digest, [("organ", mask(number))], model="m", version="1", principal=ADA)
    page = await stores.annotations.page("liver", principal=ADA)
    for row in page.entries:
        if row.image_digest != image(2).digest:
            await stores.annotations.review(row.id, AnnotationState.ACCEPTED, principal=ADA)
    yield stores
    await stores.images.stop()
    await stores.database.stop()


async def _write(stores: Stores, folder: Path, *, split: Split | None = None, name: str = "liver") -> list[int]:
    folders, told = DatasetFolders(stores.datasets, stores.annotations, stores.images), []
    await folders.write(
        name, folder, modality="CT", split=split, principal=ADA, progress=lambda done, _: told.append(done)
    )
    return told


async def test_accepted_annotations_are_written_once(stores: Stores, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    # Of a worker that was killed.
    (folder / "half").write_text("written")
    assert await _write(stores, folder) == [1, 2, 3]
    assert not (folder / "half").exists()
    manifest = read_manifest(folder)
    assert {case.case_name for case in manifest.cases} == {"one", "two"}
    assert not verify_manifest(folder)
    for number, case in enumerate(CASES[:2]):
        assert Volume.read(folder / f"imagesTr/{case}_0000.nii.gz").digest == image(number).digest
        written = Volume.read(folder / f"labelsTr/{case}.nii.gz").array
        assert np.array_equal(written, (np.arange(4) == number)[:, None, None] * np.ones((4, 5, 6)))
    assert await _write(stores, folder) == []
    (folder / "imagesTr/one_0000.nii.gz").write_bytes(b"damaged")
    assert await _write(stores, folder) == [1, 2, 3]


async def test_only_a_split_is_written(stores: Stores, tmp_path: Path) -> None:
    splits: dict[Split, set[str]] = {}
    for split in (Split.TRAINING, Split.VALIDATION):
        try:
            await _write(stores, tmp_path / split, split=split)
        except DatasetError:
            splits[split] = set()
        else:
            splits[split] = {case.case_name for case in read_manifest(tmp_path / split).cases}
    assert not splits[Split.TRAINING] & splits[Split.VALIDATION]
    assert splits[Split.TRAINING] | splits[Split.VALIDATION] == {"one", "two"}


async def test_another_tenants_dataset_is_none(stores: Stores, tmp_path: Path) -> None:
    folders = DatasetFolders(stores.datasets, stores.annotations, stores.images)
    with pytest.raises(DatasetNotFound):
        await folders.write(
            "liver", tmp_path / "data", modality="CT", principal=caller("eve", tenant="north"), progress=lambda *_: None
        )


async def test_a_cancelled_job_writes_nothing_more(stores: Stores, tmp_path: Path) -> None:
    folders, begun = DatasetFolders(stores.datasets, stores.annotations, stores.images), asyncio.Event()
    loop, seen = asyncio.get_running_loop(), []

    def progress(done: int, _: int) -> None:
        seen.append(done)
        loop.call_soon_threadsafe(begun.set)

    task = asyncio.create_task(
        folders.write("liver", tmp_path / "data", modality="CT", principal=ADA, progress=progress)
    )
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not (tmp_path / "data/manifest.json").exists() or len(seen) == len(CASES)
