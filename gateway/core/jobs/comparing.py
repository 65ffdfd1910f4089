"""Compare drafts with what an annotation model makes of the extreme points of their masks."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np

from gateway.core.access import Principal
from gateway.core.annotation.annotator import Annotator, RenderedMask
from gateway.core.annotation.preprocess import estimate_prompt_memory
from gateway.core.annotation.prompt_state import add_to_object
from gateway.core.datasets import DraftComparison, ModelVersion
from gateway.core.images import ImageSource, StoredImage
from gateway.core.runtime import Admission, Catalog, Deadline, Model
from gateway.core.segmentation import LabelMask
from sixpoint.errors import PromptError, TaskNotSupported
from sixpoint.mask import PackedMask, voxels_of
from sixpoint.model_spec import PromptKind
from sixpoint.prompts import ExtremePoints

__all__ = ["DraftComparer"]


class DraftComparer:
    """Compares drafts with an annotation model.

    Args:
        images: Stored images.
        catalog: Models that can be used now.
        annotator: Runs prompts through a network.
        admission: Limits the prompts that run or wait, and their memory.
    """

    def __init__(self, *, images: ImageSource, catalog: Catalog, annotator: Annotator, admission: Admission) -> None:
        self._images = images
        self._catalog = catalog
        self._annotator = annotator
        self._admission = admission

    def check(self, model: str, *, principal: Principal) -> None:
        """Refuse a model with which drafts cannot be compared.

        Raises:
            ModelNotFound: There is no such model.
            TaskNotSupported: It takes no extreme points.
        """
        self._get(model, principal)

    def version(self, model: str, digest: str, *, principal: Principal) -> ModelVersion:
        """The version of an annotation model with which the draft of an image is compared.

        Raises:
            ModelNotFound: There is no such model.
            TaskNotSupported: It takes no extreme points.
        """
        return ModelVersion(model, self._get(model, principal).version_for(digest))

    async def compare(
        self, digest: str, masks: Sequence[LabelMask], by: ModelVersion, *, principal: Principal, deadline: Deadline
    ) -> DraftComparison:
        """Let the annotation model make a mask of the six extreme points of each label, and compare both masks.

        Labels without voxels, and those whose voxels are all in one plane, are left out.

        Args:
            digest: SHA-256 of the image.
            masks: The labels of the draft.
            by: Version of the annotation model.
            principal: For whom it is done.
            deadline: Moment by which it is needed.

        Raises:
            ModelNotFound: There is no such model any more.
            ImageNotFound: There is no such image, or its voxels are damaged.
            ResourceExhausted: It takes too much memory, or too many prompts wait.
            TritonUnavailable: Triton cannot be reached.
            InferenceError: Triton refuses a prompt, or the output contradicts the model's spec.
            DeadlineExceeded: The deadline passes first.
        """
        model = self._get(by.model, principal)
        image = await self._images.open(digest, tenant=principal.tenant)
        dice: dict[str, float] = {}
        for each in masks:
            if not each.extremes:
                continue
            try:
                dice[each.name] = await self._compare(image, each, model, by.version, deadline)
            except PromptError:
                # Its voxels are in one plane: no person could give six points, either.
                continue
        return DraftComparison(by, dice)

    async def _compare(
        self, image: StoredImage, draft: LabelMask, model: Model, version: str, deadline: Deadline
    ) -> float:
        """Dice of the mask of a draft, and of the model's."""
        geometry = image.volume.geometry
        async with self._admission.slot():
            reader = self._annotator.reader
            batch = await reader.place(
                [ExtremePoints(draft.extremes)], geometry=geometry, reserve=self._admission.memory
            )
            _, prompts = add_to_object(None, batch, model=model.name, spec=model.spec, geometry=geometry)
            needed = estimate_prompt_memory(prompts, geometry=geometry, spec=model.spec) + _box_voxels(draft.mask)
            self._admission.check(needed, what="the comparison")
            async with self._admission.memory(needed):
                pending = await self._annotator.annotate(
                    image,
                    model,
                    prompts,
                    previous=None,
                    previous_input=None,
                    client_mask=None,
                    deadline=deadline,
                    on_stage=lambda _: None,
                    version=version,
                )
                rendered = await pending.rendering
                return await asyncio.to_thread(_dice, draft.mask, rendered)

    def _get(self, name: str, principal: Principal) -> Model:
        model = self._catalog.get(name, tenant=principal.tenant)
        if PromptKind.EXTREME_POINTS not in model.spec.accepted_prompts:
            raise TaskNotSupported(
                f"model {name!r} takes no extreme points, so drafts cannot be compared with it; choose an annotation "
                "model that does (sixpoint models)"
            )
        return model


def _box_voxels(mask: PackedMask) -> int:
    return int(np.prod(np.subtract(mask.upper, mask.lower)))


def _dice(draft: PackedMask, rendered: RenderedMask) -> float:
    """Dice of two masks of one image, each known within its box; neither is empty."""
    first = np.maximum(draft.lower, rendered.offset)
    last = np.minimum(draft.upper, np.add(rendered.offset, rendered.mask.shape[::-1]))
    shared = 0
    if (first < last).all():
        parts = [
            voxels[tuple(slice(a, b) for a, b in zip((first - lower)[::-1], (last - lower)[::-1], strict=True))]
            for voxels, lower in ((voxels_of(draft), draft.lower), (rendered.mask, rendered.offset))
        ]
        shared = int(np.count_nonzero(parts[0] & parts[1]))
    return 2 * shared / (draft.voxel_count + rendered.packed.voxel_count)
