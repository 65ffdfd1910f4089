"""Masks as answers: JSON, the packed form as bytes, or a file to save."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from urllib.parse import quote

from fastapi import Response

from gateway.core.images import ImageStore
from gateway.core.runtime import Admission
from gateway.core.sessions import AnnotationRequest, Engine, Session, Sessions
from gateway.http.calls import Call
from gateway.http.requests.spool import Spool
from gateway.http.rest.messages import NO_STORE, json_answer
from gateway.http.rest.preconditions import entity_tag
from gateway.http.windows.label_files import FileFormat, label_map_bytes, write_label_map
from gateway.http.windows.replies import FileReply
from sixpoint.errors import InvalidArgument, Violation
from sixpoint.mask import PackedMask
from sixpoint.protocol import mask_from_message
from sixpoint.v1 import annotation_service_pb2 as annotation_pb

__all__ = ["BOX_MEDIA_TYPE", "FILE_FORMS", "MASK_FORMS", "MaskReplies"]

BOX_MEDIA_TYPE = "application/vnd.sixpoint.mask"
"""Media type of a packed mask: the body is the zstd frame, the headers say the rest."""
FILE_FORMS: Sequence[tuple[str, str]] = (
    ("nrrd", "application/x-nrrd"),
    ("nii.gz", "application/x-nifti-gz"),
    ("nii", "application/x-nifti"),
)
"""Name and media type of each kind of file."""
MASK_FORMS: Sequence[tuple[str, str]] = (("json", "application/json"), ("box", BOX_MEDIA_TYPE), *FILE_FORMS)
"""Name and media type of each form in which a mask is sent."""


class MaskReplies:
    """Answers with masks.

    Args:
        engine: Renders masks.
        sessions: All sessions.
        images: All images.
        spool: Files of running calls.
        memory: Memory of label maps.
    """

    def __init__(
        self, *, engine: Engine, sessions: Sessions, images: ImageStore, spool: Spool, memory: Admission
    ) -> None:
        self._engine = engine
        self._sessions = sessions
        self._images = images
        self._spool = spool
        self._memory = memory

    async def reply(self, call: Call, session_id: str, answer: annotation_pb.Answer, *, form: str) -> Response:
        """Return a mask.

        Args:
            call: The call.
            session_id: Id of the session.
            answer: What the core answered.
            form: Name of the form, of :data:`MASK_FORMS`.
        """
        if form == "json":
            return await json_answer(answer)
        if form == "box":
            return _box(answer)
        if answer.mask.base_revision:
            raise InvalidArgument(
                "a file has the whole mask: leave base_revision out, or ask for another form",
                violations=(Violation("base_revision", "left out"),),
            )
        session = await self._sessions.get(session_id, principal=call.principal)
        parts = [(1, mask_from_message(answer.mask))]
        return await self.file(call, session.row.image_digest, parts, form=form, revision=answer.revision)

    async def label_map(self, call: Call, session_id: str, *, form: str) -> Response:
        """Return all segments of a session as one label map; where they overlap, the last one wins."""
        session = await self._sessions.get(session_id, principal=call.principal)
        parts = [(number, await self._mask(call, session, number)) for number in _drawn(session)]
        return await self.file(call, session.row.image_digest, parts, form=form, revision=session.row.revision)

    async def _mask(self, call: Call, session: Session, segment: int) -> PackedMask:
        return (await self._engine.mask(AnnotationRequest(call.principal, session.row.id, segment))).mask

    async def file(
        self, call: Call, digest: str, parts: Sequence[tuple[int, PackedMask]], *, form: str, revision: int = 0
    ) -> Response:
        """Return masks as a file on the grid of their image.

        Args:
            call: The call.
            digest: Digest of the image.
            parts: Number and mask of each label.
            form: Name of the kind of file.
            revision: Revision of the session, for the ETag; 0 without one.
        """
        record = await self._images.describe(digest, principal=call.principal)
        folder = await call.stack.enter_async_context(self._spool.folder())
        path = folder.path / "mask"
        nbytes = label_map_bytes(record.geometry, parts)
        self._memory.check(nbytes, what="the label map")
        folder.reserve(nbytes)
        async with self._memory.slot(), self._memory.memory(nbytes):
            await asyncio.to_thread(write_label_map, path, record.geometry, parts, FileFormat(f".{form}"))
        headers = {
            **NO_STORE,
            "content-disposition": f'attachment; filename="mask.{form}"',
            **({"etag": entity_tag(revision)} if revision else {}),
        }
        return FileReply(path, media_type=dict(FILE_FORMS)[form], headers=headers)


def _drawn(session: Session) -> list[int]:
    return sorted(segment.number for segment in session.segments if segment.head)


def _box(answer: annotation_pb.Answer) -> Response:
    """A packed mask as bytes."""
    mask = answer.mask
    headers = {
        **NO_STORE,
        "etag": entity_tag(answer.revision),
        "sixpoint-box": ",".join(map(str, (*mask.box.lower, *mask.box.upper))),
        "sixpoint-sha256": mask.sha256.hex(),
        "sixpoint-voxel-count": str(mask.voxel_count),
        "sixpoint-base-revision": str(mask.base_revision),
        "sixpoint-revision": str(answer.revision),
        "sixpoint-segment": str(answer.segment),
        "sixpoint-step": str(answer.step),
        "sixpoint-step-count": str(answer.step_count),
        "sixpoint-model": quote(answer.model),
        "sixpoint-model-version": quote(answer.model_version),
    }
    return Response(mask.bits, media_type=BOX_MEDIA_TYPE, headers=headers)
