"""Carry out what clients say about an object: as prompts of ours, on a session of ours."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import numpy as np

from gateway.core.access import Principal
from gateway.core.images import ImageRecord, ImageStore
from gateway.core.runtime import Admission, Catalog, Deadline
from gateway.core.runtime.byte_lru import ByteLru
from gateway.core.sessions import AnnotationRequest, Engine, SessionRow, Sessions
from gateway.http.nninteractive.beginning import all_voxels, drawn_prompt, give_height, with_object
from gateway.http.nninteractive.changes import change_memory
from gateway.http.nninteractive.interactions import BoxDrawn, Interaction, PointSet, Seed, StrokeDrawn
from gateway.http.nninteractive.leases import Lease, lease_lost
from gateway.http.nninteractive.removal import without_region
from gateway.http.nninteractive.window import SEGMENT, Window
from gateway.http.windows.beginning import box_prompt
from gateway.http.windows.object_steps import ObjectSteps
from sixpoint.errors import (
    FailedPrecondition,
    NothingToCorrect,
    NothingToUndo,
    PromptNotSupported,
    SixpointError,
)
from sixpoint.mask import PackedMask
from sixpoint.model_spec import ModelSpec, PromptKind
from sixpoint.prompts import Click, InitialMask, Lasso, Prompt, Scribble

__all__ = ["Prompting"]

_NO_IMAGE = "there is no image yet: send it first (Initialize in the viewer)"


class Prompting:
    """Finds the session of a lease, and carries out interactions on it.

    Args:
        sessions: All sessions.
        images: All images.
        engine: Carries out calls on segments.
        catalog: Models that can be used now.
        memory: Memory of prompts.
        mask_bytes: Bytes of the masks of clients that are kept.
    """

    def __init__(
        self,
        *,
        sessions: Sessions,
        images: ImageStore,
        engine: Engine,
        catalog: Catalog,
        memory: Admission,
        mask_bytes: int = 2**28,
    ) -> None:
        # By session; one that is no longer here is the session's.
        self._client_masks = ByteLru[str, PackedMask](mask_bytes, size=_mask_bytes)
        self._sessions = sessions
        self._images = images
        self._engine = engine
        self._catalog = catalog
        self._memory = memory

    async def open_image(self, lease: Lease, record: ImageRecord, *, principal: Principal) -> None:
        """Open a session on an image that came in, and close the one before.

        Raises:
            ResourceExhausted: Too many sessions are open.
        """
        earlier = await self._session_before(lease, principal)
        session = await self._sessions.create(
            principal=principal,
            digest=record.digest,
            model=lease.model,
            request_id=lease.request_id(lease.images),
        )
        lease.images += 1
        lease.window = Window(session.row, record.geometry)
        if earlier is not None:
            self._client_masks.pop(earlier.id)
            await self._sessions.close(earlier.id, principal=principal)

    async def window(self, lease: Lease, *, principal: Principal) -> Window:
        """Return what is done on the image of a lease.

        Raises:
            FailedPrecondition: No image came yet.
            HttpRefusal: The lease is another process's, and no image came there either (410).
            SessionNotFound: Its session was closed.
        """
        window = await self.find_window(lease, principal=principal)
        if window is None:
            raise FailedPrecondition(_NO_IMAGE) if lease.claimed else lease_lost()
        return window

    async def find_window(self, lease: Lease, *, principal: Principal) -> Window | None:
        """Return what is done on the image of a lease; None without one. A lease of another process brings its image.

        Raises:
            SessionNotFound: Its session was closed.
        """
        if lease.window is None:
            row = await self._session_before(lease, principal)
            lease.window = await self._restored(row, principal) if row else None
        return lease.window

    async def close(self, lease: Lease, *, principal: Principal) -> None:
        """Close the session of a lease that is given back."""
        row = await self._session_before(lease, principal)
        if row is not None:
            self._client_masks.pop(row.id)
            await self._sessions.close(row.id, principal=principal)

    async def client_mask(self, window: Window, *, principal: Principal) -> PackedMask | None:
        """Return the mask that the client has, before something changes it; None for an empty one."""
        if window.client_empty:
            return None
        kept = self._client_masks.get(window.row.id)
        return kept or await self._mask(window, principal)

    def note_client_mask(self, window: Window, mask: PackedMask) -> None:
        """Note the mask that the client will have."""
        window.client_empty = not mask.voxel_count
        self._client_masks.put(window.row.id, mask)

    async def carry_out(
        self, lease: Lease, window: Window, interaction: Interaction, *, principal: Principal, deadline: Deadline
    ) -> PackedMask:
        """Carry out an interaction, which is one step of the object.

        Returns:
            The whole mask.

        Raises:
            SixpointError: As :meth:`gateway.core.sessions.Engine.annotate` does.
        """
        if isinstance(interaction, Seed) and interaction.mask is None:
            return await self.reset(window, principal=principal)
        spec = self._catalog.get(lease.model, tenant=principal.tenant).spec
        prompts = await self._prompts(window, interaction, spec, principal=principal)
        result = await self._engine.annotate(self._request(window, principal), prompts, deadline=deadline)
        window.steps = result.segment.head
        return result.mask

    async def undo(self, window: Window, *, principal: Principal) -> PackedMask | None:
        """Undo the last step; None if there is none."""
        try:
            result = await self._engine.undo(self._request(window, principal))
        except NothingToUndo:
            return None
        window.steps = result.segment.head
        return result.mask

    async def reset(self, window: Window, *, principal: Principal) -> PackedMask:
        """Forget the object."""
        result = await self._engine.reset(self._request(window, principal))
        window.steps = 0
        return result.mask

    @contextlib.asynccontextmanager
    async def taken_back_on_failure(self, window: Window, *, principal: Principal) -> AsyncIterator[None]:
        """Undo what a block does to the object if it fails, or if its client is gone: its mask would be another one."""
        before = window.steps
        try:
            yield
        except BaseException:
            window.steps = before
            # Shielded: the call may have been cancelled.
            await asyncio.shield(self._take_back(window, principal))
            raise

    async def _take_back(self, window: Window, principal: Principal) -> None:
        # If it cannot be undone now, the next answer brings the difference to what the client has.
        with contextlib.suppress(SixpointError):
            session = await self._sessions.get(window.row.id, principal=principal)
            head = next((each.head for each in session.segments if each.number == SEGMENT), 0)
            for _ in range(head - window.steps):
                await self._engine.undo(self._request(window, principal))

    async def _prompts(
        self, window: Window, interaction: Interaction, spec: ModelSpec, *, principal: Principal
    ) -> list[Prompt]:
        if isinstance(interaction, Seed):
            assert interaction.mask is not None
            return [interaction.mask]
        if isinstance(interaction, BoxDrawn) and not interaction.positive:
            return [await self._removal(window, interaction, spec, principal=principal)]
        earlier = await self._prompts_so_far(window, principal)
        if isinstance(interaction, PointSet | StrokeDrawn):
            if not (earlier or interaction.positive):
                raise NothingToCorrect("there is no object yet: begin it with a positive prompt")
            drawn = drawn_prompt(interaction)
            if isinstance(drawn, Lasso):
                return [drawn]
            steps = ObjectSteps(window.geometry, spec, memory=self._memory)
            return await steps.of(drawn, earlier, lambda: self._mask(window, principal))
        region = interaction.region
        if window.steps:
            region = with_object(region, await self._mask(window, principal))
        region = give_height(region, window.geometry)
        corrections = [prompt for prompt in earlier if isinstance(prompt, Click | Scribble | Lasso)]
        return [box_prompt(region.lower, region.upper, spec), *corrections]

    async def _prompts_so_far(self, window: Window, principal: Principal) -> list[Prompt]:
        """The prompts of the object so far, in order."""
        if not window.steps:
            return []
        steps, token = [], ""
        while True:
            page = await self._sessions.steps(window.row.id, principal=principal, segment=SEGMENT, token=token)
            steps += [step for step, in_force in page.steps if in_force]
            token = page.next_token
            if not token:
                break
        start = steps[-1].start_step
        return [prompt for step in steps if step.number >= start for prompt in step.prompts]

    async def _removal(
        self, window: Window, box: BoxDrawn, spec: ModelSpec, *, principal: Principal
    ) -> Lasso | InitialMask:
        """Take a region away from the object: as a lasso where it is on one slice, else from its mask."""
        if not window.steps:
            raise NothingToCorrect("there is no object yet from which a box could take a part away")
        thin = box.region.thin_axes
        if thin and PromptKind.LASSO in spec.accepted_prompts:
            return Lasso(all_voxels(box.region), False, axis=thin[0])
        if PromptKind.MASK not in spec.prompts:
            raise PromptNotSupported("this model takes no masks, so a box of several slices can take nothing away")
        mask = await self._mask(window, principal)
        async with self._memory.slot(), self._memory.memory(change_memory(None, mask, np.dtype(np.uint8))):
            return await asyncio.to_thread(without_region, mask, box.region, window.geometry)

    async def _session_before(self, lease: Lease, principal: Principal) -> SessionRow | None:
        """The session of the last image of a lease, open or ended."""
        if lease.window is not None:
            return lease.window.row
        if lease.claimed or lease.images:
            return None
        rows: list[SessionRow] = []
        # As many images as a lease had were counted by the process that is gone: look for the last one.
        low, step = -1, 1
        while row := await self._sessions.opened_by(lease.request_id(low + step), principal=principal):
            rows.append(row)
            low, step = low + step, step * 2
        while step > 1:
            step //= 2
            if row := await self._sessions.opened_by(lease.request_id(low + step), principal=principal):
                rows.append(row)
                low += step
        lease.images = low + 1
        return rows[-1] if rows else None

    async def _restored(self, row: SessionRow, principal: Principal) -> Window:
        session = await self._sessions.get(row.id, principal=principal)
        record = await self._images.describe(row.image_digest, principal=principal)
        window = Window(row, record.geometry, buffer=np.dtype(np.uint8))
        window.steps = next((each.head for each in session.segments if each.number == SEGMENT), 0)
        window.client_empty = not window.steps
        return window

    async def _mask(self, window: Window, principal: Principal) -> PackedMask:
        return (await self._engine.mask(self._request(window, principal))).mask

    @staticmethod
    def _request(window: Window, principal: Principal) -> AnnotationRequest:
        return AnnotationRequest(principal, window.row.id, SEGMENT)


def _mask_bytes(mask: PackedMask) -> int:
    return len(mask.bits) + 2**9
