"""Masks as DICOM: the caller sends the series again, since the gateway keeps nothing of a patient's headers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fastapi import Response

from gateway.core.access import Activity, Role
from gateway.core.images import ImageRecord, ImageStore
from gateway.core.runtime import DeadlineLimits
from gateway.core.runtime.fairness import Places
from gateway.core.sessions import AnnotationRequest, AnnotationResult, Engine, Session, Sessions
from gateway.http.calls import Call
from gateway.http.forms import MAX_SLICES, FormFile, read_form, read_raw_file
from gateway.http.image_files import ImageFiles
from gateway.http.requests.spool import Spool, SpoolFolder
from gateway.http.rest.messages import NO_STORE, read_path, single_values
from gateway.http.rest.operations import BINARY, Operation, Parameter
from gateway.http.rest.preconditions import entity_tag
from gateway.http.windows.dicom_masks import DICOM_MEDIA_TYPE, DicomForm, NamedMask, write_dicom_masks
from gateway.http.windows.replies import FileReply
from sixpoint.errors import FailedPrecondition, InvalidArgument, UploadError, Violation
from sixpoint.errors.shortening import quoted
from sixpoint.v1 import session_service_pb2 as session_pb

__all__ = ["DICOM_FORMS", "DicomMasks", "dicom_mask_operation"]

DICOM_FORMS = ("seg", "labelmap", "rtstruct")
"""Kinds of DICOM files: SEG that is BINARY or LABELMAP, and RTSTRUCT."""
_PATH = "/sessions/{session_id}/mask"
_FORM = "multipart/form-data"
# As DICOM takes the name of a person.
_MAX_CREATOR, _MAX_SEGMENT = 64, 255


@dataclass(frozen=True)
class DicomMasks:
    """Answers with masks as DICOM files.

    Attributes:
        engine: Renders masks.
        sessions: All sessions.
        images: All images.
        files: Reads image files.
        uploads: Places of uploads.
        spool: Files of running calls.
    """

    engine: Engine
    sessions: Sessions
    images: ImageStore
    files: ImageFiles
    uploads: Places
    spool: Spool

    async def reply(self, call: Call, session_id: str, *, kind: str, segment: int = 0, creator: str = "") -> Response:
        """Return segments of a session as a DICOM file that refers to the series in the call's body.

        Args:
            call: The call, whose body is the series.
            session_id: Id of the session.
            kind: Kind of the file, of :data:`DICOM_FORMS`.
            segment: Number of the only segment to save; 0 for all.
            creator: Name of the person who made the masks; empty to say nobody.

        Raises:
            FailedPrecondition: No segment has a voxel.
            VolumeError: The series is not the session's image, or cannot be referred to.
            InvalidArgument: This kind of file cannot hold the masks.
        """
        call.limits.check(call.principal, Activity.UPLOAD)
        # What is refused is so before the series has come.
        session = await self.sessions.get(session_id, principal=call.principal)
        record = await self.images.describe(session.row.image_digest, principal=call.principal)
        masks = await self._masks(call, session, segment)
        async with self.uploads.take():
            folder = await call.stack.enter_async_context(self.spool.folder())
            series = folder.path / "series"
            series.mkdir()
            source = await self._receive(call, folder, series)
            async with call.while_connected():
                path = await self._write(record, session, masks, folder, source=source, kind=kind, creator=creator)
        headers = {
            **NO_STORE,
            "content-disposition": 'attachment; filename="mask.dcm"',
            "etag": entity_tag(session.row.revision),
        }
        return FileReply(path, media_type=DICOM_MEDIA_TYPE, headers=headers)

    async def _masks(self, call: Call, session: Session, segment: int) -> list[AnnotationResult]:
        numbers = [segment] if segment else sorted(each.number for each in session.segments if each.head)
        found = [
            await self.engine.mask(AnnotationRequest(call.principal, session.row.id, number)) for number in numbers
        ]
        masks = [each for each in found if each.mask.voxel_count]
        if not masks:
            raise FailedPrecondition("no segment has a voxel, so there is nothing to write; outline an object first")
        return masks

    async def _receive(self, call: Call, folder: SpoolFolder, series: Path) -> FormFile | None:
        """Receive the series: one file that is returned, or several in their folder."""
        limit = self.files.max_body_bytes
        if not call.request.headers.get("content-type", "").startswith(_FORM):
            return await read_raw_file(call, folder, suffix="", max_bytes=limit)
        form = await read_form(call, folder, max_bytes=limit, max_files=MAX_SLICES)
        files = [file for each in form.files.values() for file in each]
        if not files:
            raise UploadError("the form has no file; expected the files of the DICOM series of the image")
        if len(files) == 1:
            return files[0]
        for number, file in enumerate(files):
            file.path.rename(series / f"{number}.dcm")
        return None

    async def _write(
        self,
        record: ImageRecord,
        session: Session,
        masks: Sequence[AnnotationResult],
        folder: SpoolFolder,
        *,
        source: FormFile | None,
        kind: str,
        creator: str,
    ) -> Path:
        names = {each.number: each.name for each in session.segments}
        return await write_dicom_masks(
            self.files,
            record,
            [
                NamedMask(each.segment.number, names.get(each.segment.number, ""), each.mask, each.model, each.version)
                for each in masks
            ],
            folder,
            series=folder.path / "series",
            source=source.path if source else None,
            limit=self.files.reserve_unpacked(source, folder) if source else 0,
            form=DicomForm(kind, creator),
        )


def dicom_mask_operation(masks: DicomMasks, deadlines: DeadlineLimits) -> Operation:
    """The operation that saves the masks of a session as DICOM.

    Args:
        masks: Answers with DICOM files.
        deadlines: Deadline of its calls.
    """

    async def save(call: Call) -> Response:
        kind, segment, creator = _read_query(call)
        request = read_path(call.request, session_pb.GetSessionRequest)
        return await masks.reply(call, request.session_id, kind=kind, segment=segment, creator=creator)

    return Operation(
        "POST",
        _PATH,
        "saveDicomMasks",
        "Save segments of a session as a DICOM file that refers to the image's series",
        save,
        Role.VIEWER,
        deadlines,
        description="The body is the DICOM series of the image: a zip of its files, its only file, or a form with all "
        "of them. The gateway keeps nothing of a patient's headers, so it is sent again; it must have the voxels of "
        "the session's image, and nothing of it stays.",
        message=session_pb.GetSessionRequest,
        parameters=[
            Parameter(
                "format",
                "A SEG that is BINARY (the default) or LABELMAP, or an RTSTRUCT.",
                {"type": "string", "enum": list(DICOM_FORMS)},
            ),
            Parameter(
                "segment",
                "Number of the only segment to save, instead of all.",
                {"type": "integer", "minimum": 1, "maximum": _MAX_SEGMENT},
            ),
            Parameter(
                "creator",
                "Name of the person who made the masks, such as Doe^John.",
                {"type": "string", "maxLength": _MAX_CREATOR},
            ),
        ],
        body={
            "application/zip": BINARY,
            DICOM_MEDIA_TYPE: BINARY,
            _FORM: {"type": "object", "properties": {"file": BINARY}, "required": ["file"]},
        },
        media={DICOM_MEDIA_TYPE: BINARY},
    )


def _read_query(call: Call) -> tuple[str, int, str]:
    """Kind of the file, number of the only segment or 0, and name of the creator."""
    query = single_values(call.request)
    kind = call.request.query_params.get("format", "seg")
    segment, creator = query.pop("segment", ""), query.pop("creator", "")
    if query:
        raise InvalidArgument(
            "the request's query has parameters that this address does not take",
            violations=tuple(Violation(name[:80], "there is no such parameter") for name in list(query)[:10]),
        )
    if kind not in DICOM_FORMS:
        forms = ", ".join(DICOM_FORMS)
        raise InvalidArgument(
            f"format is {quoted(kind)}; expected one of {forms}", violations=(Violation("format", f"one of {forms}"),)
        )
    if segment and not (segment.isascii() and segment.isdecimal() and 1 <= int(segment[:9]) <= _MAX_SEGMENT):
        raise InvalidArgument(
            f"segment is {quoted(segment)}; expected a number from 1 to {_MAX_SEGMENT}",
            violations=(Violation("segment", f"a number from 1 to {_MAX_SEGMENT}"),),
        )
    if len(creator) > _MAX_CREATOR or not creator.isprintable() or "\\" in creator:
        raise InvalidArgument(
            f"creator is no name of a person; expected at most {_MAX_CREATOR} characters, such as Doe^John",
            violations=(Violation("creator", f"at most {_MAX_CREATOR} printable characters, without backslashes"),),
        )
    return kind, int(segment or 0), creator
