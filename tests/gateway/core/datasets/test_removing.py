"""What is kept of a patient, and its removal: nothing of it stays, and nothing of others goes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.core.datasets import (
    AnnotatedLabel,
    AnnotationRow,
    AnnotationState,
    Datasets,
    ImageRemoval,
    LabelMask,
    NewImage,
    Subject,
)
from gateway.core.images import ImageStore
from gateway.core.runtime import Catalog, Model
from gateway.storage import (
    Blobs,
    Database,
    dataset_repository,
    image_maintenance,
    image_repository,
    session_maintenance,
)
from gateway.storage.datasets import SqlDatasetWriter
from gateway.storage.scopes import TenantScope
from sixpoint.errors import DatasetError, DatasetNotFound, ImageNotFound, InvalidArgument
from sixpoint.mask import pack
from sixpoint.volume import Volume
from tests.gateway.core.images.image_stores import LIMITS, blob_path, upload_image
from tests.gateway.core.sessions.session_process import BOX, Clock, SessionProcess
from tests.gateway.storage.tenant_rows import rows
from tests.support.callers import caller
from tests.support.images import noisy_volume
from tests.support.models import ELLIPSOID_SPEC

ADA = caller("ada")
MASK = pack(np.ones((2, 3, 4), np.bool_), (1, 2, 3))
FIRST = noisy_volume((20, 18, 16))
SECOND, THIRD = (Volume(FIRST.array + np.int16(step), FIRST.geometry) for step in (1, 2))


@dataclass
class Site:
    """A gateway's stores, without edges."""

    database: Database
    images: ImageStore
    datasets: Datasets
    removal: ImageRemoval
    process: SessionProcess
    catalog: Catalog
    folder: Path
    saved: int = 0

    async def session(self, volume: Volume = FIRST) -> str:
        """Open a session on an image, with a step."""
        opened = await self.process.sessions.create(principal=ADA, digest=volume.digest, model="m")
        await self.process.annotate(opened.row.id, BOX)
        return opened.row.id

    async def save(self, dataset: str, volume: Volume = FIRST, *, session_id: str = "", digest: str = "d") -> str:
        """Store an annotation of an image; return its id."""
        self.saved += 1
        row = AnnotationRow(
            id=f"{self.saved:032}",
            dataset_id=(await self.datasets.get(dataset, principal=ADA)).row.id,
            dataset=dataset,
            image_digest=volume.digest,
            version=self.saved,
            annotator="ada",
            created=1e9 + self.saved,
            labels=(AnnotatedLabel(1, "liver", 24),),
            session_id=session_id,
            model="m",
            model_version="3",
            prompt_count=4,
            active_seconds=12.5,
            digest=digest * 64,
            byte_count=len(MASK.bits),
            state=AnnotationState.SUBMITTED,
        )
        masks = [LabelMask(1, "liver", MASK)]
        write = dataset_repository(self.database).write
        await write(lambda records: records.insert_annotation(row, masks), tenant="default")
        return row.id

    async def rows(self) -> dict[str, list[Any]]:
        """All that the tenant has, without what ended sessions leave for the sweeper."""
        delete = session_maintenance(self.database).write
        while await delete(lambda of: of.delete_ended(before=1e12, tombstones_before=1e12, limit=9)):
            pass
        return await self.database.read(lambda conn: rows(conn, "default"))


@pytest.fixture
async def site(database_url: str, tmp_path: Path) -> AsyncIterator[Site]:
    database = Database(database_url)
    await database.start()
    images = ImageStore(
        repository=image_repository(database, audited=True),
        maintenance=image_maintenance(database),
        blobs=Blobs(str(tmp_path / "blobs")),
        folder=tmp_path / "cache",
        limits=LIMITS,
    )
    await images.start()
    repository, catalog, process = (
        dataset_repository(database, audited=True),
        Catalog(),
        SessionProcess(database, Clock()),
    )
    removal = ImageRemoval(repository=repository, images=images, catalog=catalog, drop_session=process.cache.drop)
    site = Site(database, images, Datasets(repository=repository), removal, process, catalog, tmp_path)
    for volume in (FIRST, SECOND, THIRD):
        await upload_image(images, volume, principal=ADA)
    for name in ("abdomen", "other"):
        await site.datasets.create(name, labels=[], validation_share=0, test_share=0, principal=ADA)
    cases = [(FIRST, "case 1", "MRN 5"), (SECOND, "case 2", "MRN 5"), (THIRD, "case 3", "MRN 6")]
    added = [NewImage(volume.digest, case, patient) for volume, case, patient in cases]
    await site.datasets.add_images("abdomen", added, principal=ADA)
    yield site
    await images.stop()
    await database.stop()


async def test_nothing_of_a_patient_stays(site: Site) -> None:
    before = await site.rows()
    session_id = await site.session()
    await site.save("abdomen", session_id=session_id)
    await site.save("abdomen", SECOND)
    kept = await site.save("abdomen", THIRD)
    removed = await site.removal.remove("abdomen", Subject(patient="MRN 5"), principal=ADA)
    assert [(each.image.case_name, each.annotation_count, each.voxels_removed) for each in removed.images] == [
        ("case 1", 1, True),
        ("case 2", 1, True),
    ]
    assert (removed.images[0].session_ids, removed.more) == ((session_id,), False)
    assert site.process.cache.get(session_id, 1) is None
    after = await site.rows()
    for name, left in after.items():
        # The log says by its digest which image was removed.
        if not name.startswith("audit"):
            text = repr(left)
            assert FIRST.digest not in text, name
            assert SECOND.digest not in text, name
            assert session_id not in text, name
    assert [kept in row for row in after["annotations"]] == [True]
    assert (len(after["annotation_masks"]), len(after["steps"])) == (1, 0)
    assert len(after["images"]) == len(before["images"]) - 2
    for volume in (FIRST, SECOND):
        assert not blob_path(site.folder, volume).exists()
        with pytest.raises(ImageNotFound):
            await site.images.open(volume.digest, tenant="default")
    assert blob_path(site.folder, THIRD).exists()
    audited = [row for name, table in after.items() if name.startswith("audit") for row in table]
    assert sum("remove image from dataset" in row and "'ada'" in row for row in audited) == 2
    assert sum("'remove image'" in row and "'ada'" in row for row in audited) == 2
    with pytest.raises(DatasetError, match="no image of this patient"):
        await site.removal.remove("abdomen", Subject(patient="MRN 5"), principal=ADA)


async def test_what_others_use_stays(site: Site) -> None:
    await site.datasets.add_images("other", [NewImage(FIRST.digest, "theirs")], principal=ADA)
    session_id, working = await site.session(), await site.session(SECOND)
    await site.save("abdomen", session_id=session_id)
    theirs = await site.save("other", session_id=session_id)
    (first,) = (await site.removal.remove("abdomen", Subject("case 1"), principal=ADA)).images
    assert (first.annotation_count, first.session_ids, first.voxels_removed) == (1, (), False)
    # Somebody works on the image.
    (second,) = (await site.removal.remove("abdomen", Subject("case 2"), principal=ADA)).images
    assert second.voxels_removed is False
    assert (await site.process.sessions.get(working, principal=ADA)).row.ended is None
    after = await site.rows()
    assert [theirs in row for row in after["annotations"]] == [True]
    assert {session_id in row for row in after["steps"]} == {True, False}
    assert all(blob_path(site.folder, volume).exists() for volume in (FIRST, SECOND))


async def test_all_sessions_end_if_asked_for(site: Site) -> None:
    working = await site.session()
    request = Subject("case 1")
    (removed,) = (await site.removal.remove("abdomen", request, principal=ADA, end_sessions=True)).images
    assert (removed.session_ids, removed.voxels_removed) == ((working,), True)
    assert not blob_path(site.folder, FIRST).exists()


async def test_a_trace_says_what_is_kept_and_who_learnt_from_it(site: Site) -> None:
    await site.datasets.add_images("other", [NewImage(FIRST.digest, "theirs")], principal=ADA)
    session_id = await site.session()
    first = await site.save("abdomen", session_id=session_id)
    second = await site.save("abdomen", digest="e")
    spec = ELLIPSOID_SPEC.model_copy(update={"provenance": {"annotations": f"{'a' * 16} {'d' * 16}"}})
    models = {
        "liver": Model("liver", "7", spec),
        "hidden": Model("hidden", "1", spec, tenants=frozenset({"south"})),
        "other": Model("other", "1", ELLIPSOID_SPEC),
    }
    assert not site.removal.models_known
    site.catalog.update(models)
    assert site.removal.models_known
    before = await site.rows()
    page = await site.removal.trace("abdomen", Subject("case 1", whole_patient=True), principal=ADA, size=1)
    (trace,) = page.entries
    assert [row.id for row in trace.annotations] == [second, first]
    assert trace.other_datasets == ("other",)
    assert [(each.id, each.owner, each.open) for each in trace.sessions] == [(session_id, "ada", True)]
    assert [(each.model, each.version, each.annotation_ids) for each in trace.learnt] == [("liver", "7", (first,))]
    rest = await site.removal.trace(
        "abdomen", Subject("case 1", whole_patient=True), principal=ADA, size=1, token=page.next_token
    )
    assert ([each.image.case_name for each in rest.entries], rest.next_token) == (["case 2"], "")
    assert await site.rows() == before


async def test_whose_images_are_meant_must_be_said(site: Site) -> None:
    for subject in ({}, {"case_name": "case 1", "patient": "MRN 5"}):
        with pytest.raises(InvalidArgument, match="whose images are meant"):
            Subject(**subject)  # type: ignore[arg-type]
    with pytest.raises(DatasetError, match=r"no case 'case 9'"):
        await site.removal.trace("abdomen", Subject("case 9"), principal=ADA)
    with pytest.raises(DatasetError) as caught:
        await site.removal.trace("abdomen", Subject(patient="MRN 7"), principal=ADA)
    assert "MRN" not in caught.value.message
    with pytest.raises(DatasetNotFound):
        await site.removal.remove("abdomen", Subject("case 1"), principal=caller("eve", tenant="south"))
    with pytest.raises(InvalidArgument, match="page size"):
        await site.removal.trace("abdomen", Subject("case 1"), principal=ADA, size=101)
    (image, *_) = (await site.datasets.images("abdomen", principal=ADA)).entries

    def of_another_tenant(records: SqlDatasetWriter) -> list[Any]:
        return records.images_of_patient(image.dataset_id, image.patient, after="", limit=9)

    assert (
        len(await site.database.read(lambda conn: of_another_tenant(SqlDatasetWriter(TenantScope(conn, "default")))))
        == 2
    )
    assert not await site.database.read(lambda conn: of_another_tenant(SqlDatasetWriter(TenantScope(conn, "south"))))
