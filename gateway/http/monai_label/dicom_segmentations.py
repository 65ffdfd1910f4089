"""``output=dicom_seg``: what a model found as a DICOM SEG that refers to the series of a DICOMweb server."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import Response

from gateway.core.images import ImageRecord
from gateway.core.runtime import Model
from gateway.http.calls import Call
from gateway.http.dicomweb import SeriesImages
from gateway.http.image_files import ImageFiles
from gateway.http.monai_label.label_info import read_segment_names
from gateway.http.requests.spool import SpoolFolder
from gateway.http.windows.dicom_masks import DICOM_MEDIA_TYPE, DicomForm, NamedMask, write_dicom_masks
from gateway.http.windows.replies import FileReply
from gateway.http.windows.results import Result
from sixpoint.errors import FailedPrecondition, InvalidArgument
from sixpoint.model_spec import Task

__all__ = ["DICOM_OUTPUT", "NOT_A_SERIES", "DicomSegmentations"]

DICOM_OUTPUT = "dicom_seg"
"""What a client asks for that wants a DICOM SEG."""
NOT_A_SERIES = (
    "output=dicom_seg refers to the image's DICOM series, and this image did not come from the DICOMweb server: name a "
    "series by image=SeriesInstanceUID, without session_id and file; or ask for output=image, and save it as DICOM in "
    "the viewer"
)
_NO_PACS = (
    "output=dicom_seg refers to a series of a DICOMweb server, and none is set (SIXPOINT_DICOMWEB_URL); ask for "
    "output=image, and save it as DICOM in the viewer"
)


class DicomSegmentations:
    """Answers with DICOM files.

    Args:
        files: Runs the process that writes them.
        series: Finds series of the DICOMweb server; None without one.
    """

    def __init__(self, files: ImageFiles, series: SeriesImages | None) -> None:
        self._files = files
        self._series = series

    def check(self, call: Call) -> None:
        """Refuse a call whose image is no series, before a model is asked.

        Raises:
            FailedPrecondition: There is no DICOMweb server.
            InvalidArgument: The image is no series of it.
        """
        query = call.request.query_params
        if self._series is None:
            raise FailedPrecondition(_NO_PACS)
        if query.get("session_id") or not self._series.names_series(query.get("image", "")):
            raise InvalidArgument(NOT_A_SERIES)

    async def reply(
        self,
        call: Call,
        model: Model,
        result: Result,
        record: ImageRecord,
        params: Mapping[str, object],
        folder: SpoolFolder,
    ) -> Response:
        """Return what a model found in the series that a call names.

        Args:
            call: The call, which :meth:`check` let pass.
            model: The model.
            result: What it found.
            record: Image of the series.
            params: Parameters of the call; ``label_info`` may name the segments.
            folder: Folder of the call's files.

        Raises:
            FailedPrecondition: Nothing was found, so there is nothing to write.
            SixpointError: The series cannot be fetched again, or cannot be referred to.
        """
        assert self._series is not None
        names = read_segment_names(params, result.names)
        masks = [
            NamedMask(
                number, names[number], mask, model.name, result.version, automatic=model.spec.task is Task.SEGMENTATION
            )
            for number, mask in result.parts
            if mask.voxel_count
        ]
        if not masks:
            raise FailedPrecondition(
                f"there is no voxel to write as DICOM: {result.notes or 'the model found nothing in this image'}"
            )
        series = await self._series.download(call, call.request.query_params["image"], folder)
        path = await write_dicom_masks(self._files, record, masks, folder, series=series, form=DicomForm())
        headers = {"cache-control": "no-store", "content-disposition": 'attachment; filename="label.dcm"'}
        return FileReply(path, media_type=DICOM_MEDIA_TYPE, headers=headers)
