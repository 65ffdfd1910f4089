"""What models find in an image, for a client's window on it, and the file in which it is sent."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gateway.core.access import Activity
from gateway.core.runtime import Admission, Model
from gateway.core.segmentation.events import LabelMask, SegmentationSummary
from gateway.core.segmentation.segmenter import Segmenter
from gateway.http.calls import Call
from gateway.http.requests.spool import SpoolFolder
from gateway.http.windows.annotating import Annotating
from gateway.http.windows.handles import ImageHandle
from gateway.http.windows.label_files import FileFormat, label_map_bytes, write_label_map
from gateway.http.windows.object_steps import ObjectSteps
from sixpoint.geometry import Geometry
from sixpoint.mask import PackedMask, Timings, pack, voxels_of
from sixpoint.prompts import Click, ExtremePoints, Point, Prompt

__all__ = ["Result", "Results"]


@dataclass(frozen=True)
class Result:
    """What a model found.

    Attributes:
        parts: Number and mask of each label.
        names: Number of each label by its name.
        timings: Time of each part.
        notes: What a person should know; empty if nothing.
        version: Version of the model that answered; empty if none did.
    """

    parts: list[tuple[int, PackedMask]]
    names: dict[str, int]
    timings: Timings
    notes: str = ""
    version: str = ""


class Results:
    """Asks models, and writes what they found.

    Args:
        annotating: Answers points.
        segmenter: Segments whole images.
        memory: Memory of answers.
    """

    def __init__(self, *, annotating: Annotating, segmenter: Segmenter, memory: Admission) -> None:
        self._annotating = annotating
        self._segmenter = segmenter
        self._memory = memory

    async def annotate(
        self, call: Call, model: Model, handle: ImageHandle, label: str, prompts: Sequence[Prompt], *, opening: int = 1
    ) -> Result:
        """Outline one object.

        Args:
            call: The call.
            model: Model that answers.
            handle: The client's window on the image.
            label: Name of the object.
            prompts: All prompts of the object.
            opening: Number of prompts that begin it together.

        Raises:
            SixpointError: As :meth:`gateway.http.windows.annotating.Annotating.annotate` does.
        """
        result = await self._annotating.annotate(
            handle, model, label, prompts, principal=call.principal, deadline=call.deadline, opening=opening
        )
        return Result([(1, result.mask)], {label: 1}, result.timings, version=result.version)

    async def click(
        self, call: Call, model: Model, handle: ImageHandle, label: str, clicks: Sequence[Click], *, geometry: Geometry
    ) -> Result:
        """Outline one object of which clicks are all that is known.

        Args:
            call: The call.
            model: Model that answers.
            handle: The client's window on the image.
            label: Name of the object.
            clicks: All clicks on the object; the first one is in it.
            geometry: Geometry of the image.

        Raises:
            SixpointError: As :meth:`gateway.http.windows.annotating.Annotating.click` does.
        """
        steps = ObjectSteps(geometry, model.spec, memory=self._memory)
        result = await self._annotating.click(
            handle, model, label, clicks, steps=steps, principal=call.principal, deadline=call.deadline
        )
        return Result([(1, result.mask)], {label: 1}, result.timings, version=result.version)

    async def segment(self, call: Call, model: Model, handle: ImageHandle) -> Result:
        """Segment the whole image.

        Args:
            call: The call.
            model: Model that segments.
            handle: The client's window on the image.

        Raises:
            SixpointError: As :meth:`gateway.core.segmentation.segmenter.Segmenter.segment` does.
        """
        call.limits.check(call.principal, Activity.SEGMENTATION)
        parts, names, timings, version = list[tuple[int, PackedMask]](), dict[str, int](), Timings(), ""
        events = self._segmenter.segment(handle.digest, model.name, principal=call.principal, deadline=call.deadline)
        async with contextlib.aclosing(events):
            async for event in events:
                if isinstance(event, LabelMask):
                    parts.append((event.number, event.mask))
                    names[event.name] = event.number
                elif isinstance(event, SegmentationSummary):
                    timings, version = event.timings, event.version
        return Result(parts, names, timings, version=version)

    async def on_slice(self, result: Result, number: int, geometry: Geometry) -> Result:
        """Return what of a result lies on one slice.

        Args:
            result: The result.
            number: Number of the slice: the last of the voxel indices (x, y, z).
            geometry: Geometry of the image.

        Raises:
            ResourceExhausted: There is no memory for it now.
        """
        async with self.room(label_map_bytes(geometry, result.parts)):
            parts = [(label, await asyncio.to_thread(_on_slice, mask, number)) for label, mask in result.parts]
        return replace(result, parts=parts)

    async def write(self, result: Result, geometry: Geometry, folder: SpoolFolder, file_format: FileFormat) -> Path:
        """Write a result as a label map on the grid of its image.

        Args:
            result: The result.
            geometry: Geometry of the image.
            folder: Folder of the call's files.
            file_format: How it is written.

        Raises:
            ResourceExhausted: There is no room for it now.
        """
        path = folder.path / "answer"
        nbytes = label_map_bytes(geometry, result.parts, dtype=file_format.dtype)
        folder.reserve(nbytes)
        async with self.room(nbytes):
            await asyncio.to_thread(write_label_map, path, geometry, result.parts, file_format)
        return path

    async def extreme_points(self, result: Result, geometry: Geometry) -> list[Point]:
        """Return the extreme points of all that was found, voxel indices (x, y, z); none if nothing was.

        Args:
            result: The result.
            geometry: Geometry of the image.

        Raises:
            ResourceExhausted: There is no memory for it now.
        """
        async with self.room(label_map_bytes(geometry, result.parts)):
            return await asyncio.to_thread(_extreme_points, [mask for _, mask in result.parts if mask.voxel_count])

    @contextlib.asynccontextmanager
    async def room(self, nbytes: int) -> AsyncIterator[None]:
        """Wait for memory for the voxels of an answer, and reserve it within the context.

        Raises:
            ResourceExhausted: It is more than there is, or too many calls wait for it.
        """
        async with self._memory.slot():
            self._memory.check(nbytes, what="the label map")
            async with self._memory.memory(nbytes):
                yield


def _on_slice(mask: PackedMask, number: int) -> PackedMask:
    x, y, z = mask.lower
    # Empty if the slice is outside of the mask's box.
    return pack(voxels_of(mask)[max(0, number - z) :][: 1 if number >= z else 0], (x, y, number))


def _extreme_points(masks: Sequence[PackedMask]) -> list[Point]:
    """For each axis the first and the last point along it, of the masks whose boxes reach there."""
    points: list[Point] = []
    extremes: dict[int, Sequence[Point]] = {}
    for axis in range(3 if masks else 0):
        first = min(range(len(masks)), key=lambda n: masks[n].lower[axis])
        last = max(range(len(masks)), key=lambda n: masks[n].upper[axis])
        for end, number in enumerate((first, last)):
            if number not in extremes:
                extremes[number] = ExtremePoints.of_mask(voxels_of(masks[number])).points
            x, y, z = (a + b for a, b in zip(extremes[number][2 * axis + end], masks[number].lower, strict=True))
            points.append((x, y, z))
    return points
