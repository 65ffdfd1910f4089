"""A gateway without edges, with three annotated images, whose jobs export and import."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from gateway.core.access import Principal
from gateway.core.datasets import AnnotationState, DatasetLabel, NewImage
from gateway.core.runtime import NO_OBSERVER, Catalog, CorePool
from gateway.core.runtime.fairness import FairExecutor
from gateway.edges import Workers, make_services
from gateway.edges.services import Services
from gateway.from_settings import prompt_admission, segmentation_admission, upload_places
from gateway.settings import Settings
from gateway.stores import Stores
from sixpoint.geometry import Geometry
from sixpoint.mask import PackedMask, pack
from sixpoint.volume import Volume
from tests.gateway.core.images.image_stores import upload_image
from tests.support.callers import caller

__all__ = ["ADA", "CASES", "Context", "Site", "image", "mask", "open_site"]

ADA = caller("ada")
CASES = ("one", "two", "three")


@dataclass
class Context:
    """What a job tells."""

    principal: Principal = ADA
    job_id: str = "a"
    done: list[tuple[float, float]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    on_progress: Callable[[], object] = lambda: None

    def progress(self, done: float, total: float, note: str = "") -> None:
        self.done.append((done, total))
        self.on_progress()

    def log(self, text: str) -> None:
        self.lines.append(text)


def image(number: int) -> Volume:
    return Volume(np.full((4, 5, 6), number, np.int16), Geometry(size=(6, 5, 4), spacing=(1.0, 2.0, 3.0)))


def mask(number: int) -> PackedMask:
    array = np.zeros((4, 5, 6), np.bool_)
    array[number, 1:4] = True
    return pack(array, (0, 0, 0))


@dataclass
class Site:
    """A gateway without edges."""

    services: Services
    stores: Stores
    root: Path

    async def run(self, kind: str, context: Context, **parameters: Any) -> None:
        """Carry out a job as a worker does."""
        found, parsed = self.services.job_kinds.parse(kind, parameters)
        await found.check(parsed, principal=context.principal)
        await found.run(parsed, context)

    async def state(self, dataset: str) -> set[tuple[str, str, str, str]]:
        """Case, image, digest of the masks and state of each annotation."""
        images = (await self.stores.datasets.images(dataset, principal=ADA)).entries
        names = {row.image_digest: row.case_name for row in images}
        page = await self.stores.annotations.page(dataset, principal=ADA)
        return {(names[row.image_digest], row.image_digest, row.digest, row.state.value) for row in page.entries}


@asynccontextmanager
async def open_site(tmp_path: Path) -> AsyncIterator[Site]:
    """Three images, each with an accepted annotation."""
    (root := tmp_path / "shared").mkdir()
    settings = Settings(
        state_folder=tmp_path / "state", worker_kinds="export,import", export_folder=root, import_folder=root
    )
    stores = Stores(settings)
    await stores.database.start()
    await stores.images.start()
    prompts = prompt_admission(settings)
    workers = Workers(FairExecutor(1), FairExecutor(1), CorePool(active=lambda: 0))
    unused: Any = None
    services = make_services(
        settings,
        stores,
        catalog=Catalog(),
        inference=unused,
        observer=NO_OBSERVER,
        workers=workers,
        admissions=(prompts, segmentation_admission(settings)),
        uploads=upload_places(settings),
    )
    labels = [DatasetLabel(7, "organ"), DatasetLabel(2, "lump")]
    for name in ("liver", "copy"):
        await stores.datasets.create(name, labels=labels, validation_share=0.0, test_share=0.0, principal=ADA)
    for number, case in enumerate(CASES):
        await upload_image(stores.images, image(number), principal=ADA)
        digest = image(number).digest
        await stores.datasets.add_images("liver", [NewImage(digest, case)], principal=ADA)
        masks = [("organ", mask(number)), ("lump", mask(3))]
        row = await services.saver.add("liver", digest, masks, principal=ADA)
        await stores.annotations.review(row.id, AnnotationState.ACCEPTED, principal=ADA)
    yield Site(services, stores, root)
    await stores.images.stop()
    await stores.database.stop()
    for part in (workers.prompts, workers.segmentations):
        part.shutdown()
    workers.cores.close()
