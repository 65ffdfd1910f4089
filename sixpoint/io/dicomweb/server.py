"""A DICOMweb server: what a study has, the files of a series, and files to be stored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pydicom
from dicomweb_client.api import DICOMwebClient

from sixpoint.errors import NotFound, ResourceExhausted, VolumeError
from sixpoint.io.dicom.guard import reading
from sixpoint.io.dicomweb._transport import BoundedSession, asking

__all__ = ["DicomwebLimits", "DicomwebServer", "SeriesEntry"]

# Any transfer syntax: Orthanc answers 500 if it is asked to recode what it cannot, JPEG 2000 for one.
_ANY_SYNTAX = (("application/dicom", "*"),)
_CONNECT_S, _READ_S = 20.0, 60.0
_ATTEMPTS, _WAIT_MS = 3, 500
_MODALITY, _SERIES_NUMBER, _SERIES, _INSTANCES = "00080060", "00200011", "0020000E", "00201209"
_UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
_NO_IMAGES = frozenset({"AU", "DOC", "KO", "PR", "REG", "RTPLAN", "RTRECORD", "RTSTRUCT", "SEG", "SR"})


@dataclass(frozen=True)
class DicomwebLimits:
    """Limits of what is taken from a server.

    Attributes:
        max_bytes: Bytes of all answers.
        instances: Files of a series.
    """

    max_bytes: int = 16 * 2**30
    instances: int = 20_000


@dataclass(frozen=True)
class SeriesEntry:
    """A series of a study.

    Attributes:
        uid: Its UID.
        modality: How it was acquired, in DICOM's terms; empty if the server does not say it.
        number: Its number; None without one.
        instances: Number of its files; None if the server does not say it.
    """

    uid: str
    modality: str
    number: int | None
    instances: int | None

    @property
    def is_image(self) -> bool:
        """Whether it may be an image, by its modality."""
        return self.modality not in _NO_IMAGES

    def describe(self) -> str:
        """Modality, number and size, in words; free of names, dates and UIDs."""
        number = "" if self.number is None else f", series number {self.number}"
        count = "" if self.instances is None else f", {self.instances} file{'' if self.instances == 1 else 's'}"
        return f"{self.modality or 'modality unknown'}{number}{count}"


class DicomwebServer:
    """One server.

    Args:
        url: Base URL.
        authorization: Header Authorization; empty for that of ``~/.netrc``, if it has one for the server.
        ca_file: File with the authorities of its certificate; empty for those of the environment.
        limits: Limits of what is taken from it.
    """

    def __init__(
        self, url: str, *, authorization: str = "", ca_file: str = "", limits: DicomwebLimits | None = None
    ) -> None:
        self._host = urlsplit(url).hostname or ""
        self._limits = limits or DicomwebLimits()
        self._session = BoundedSession(max_bytes=self._limits.max_bytes, authorization=authorization, ca_file=ca_file)
        with asking(self._host):
            self._client = DICOMwebClient(
                url, session=self._session, permissive_uid=True, timeout=(_CONNECT_S, _READ_S)
            )
            self._client.set_http_retry_params(max_attempts=_ATTEMPTS, wait_exponential_multiplier=_WAIT_MS)

    def __enter__(self) -> DicomwebServer:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def series(self, study: str) -> list[SeriesEntry]:
        """Return the series of a study, by their numbers.

        Raises:
            NotFound: There is no such study.
            SixpointError: The server cannot be asked.
        """
        with asking(self._host):
            found = self._client.search_for_series(study, fields=["NumberOfSeriesRelatedInstances", "SeriesNumber"])
            entries = [_entry(item) for item in found]
        if not entries:
            raise NotFound(f"the DICOMweb server {self._host} has no such study; check its UID")
        return sorted(entries, key=lambda entry: (entry.number or 0, entry.uid))

    def download(
        self, study: str, series: str, folder: Path, *, on_file: Callable[[int, int], None] | None = None
    ) -> int:
        """Write the files of a series.

        Args:
            study: UID of the study.
            series: UID of the series.
            folder: Existing folder for them, under names of ours.
            on_file: Function called with the number of files so far, and their bytes.

        Returns:
            The number of files.

        Raises:
            NotFound: There is no such series.
            ResourceExhausted: It is too large.
            SixpointError: The server cannot be asked.
        """
        count = size = 0
        with asking(self._host):
            for dataset in self._client.iter_series(study, series, media_types=_ANY_SYNTAX):
                count += 1
                if count > self._limits.instances:
                    raise ResourceExhausted(
                        f"the series has more than {self._limits.instances} files; it is too large to be read here"
                    )
                path = folder / f"{count:06}.dcm"
                dataset.save_as(path)
                size += path.stat().st_size
                if on_file:
                    on_file(count, size)
        if not count:
            raise NotFound(f"the DICOMweb server {self._host} has no such series; check its UID")
        return count

    def store(self, path: Path) -> None:
        """Store a DICOM file.

        Args:
            path: The file.

        Raises:
            VolumeError: It is no DICOM file, has no UIDs, or the server did not take it.
            SixpointError: The server cannot be asked.
        """
        dataset = _read_for_storing(path)
        with asking(self._host):
            answer = self._client.store_instances([dataset])
            # 200 alone says nothing: Orthanc answers so, too, if it stores nothing.
            stored = [str(item.get("ReferencedSOPInstanceUID", "")) for item in answer.get("ReferencedSOPSequence", [])]
        if str(dataset.SOPInstanceUID) not in stored:
            raise VolumeError(f"the DICOMweb server {self._host} did not store {path.name}; its log may say why")


def _read_for_storing(path: Path) -> pydicom.Dataset:
    try:
        with reading(f"{path} is no DICOM file that can be stored"):
            dataset = pydicom.dcmread(path)
            uids = {keyword: str(dataset.get(keyword, "")) for keyword in _UIDS}
    except OSError as error:
        raise VolumeError(f"{path} cannot be read: {error.strerror}") from error
    missing = [key for key, uid in uids.items() if not uid]
    if missing:
        raise VolumeError(
            f"{path} has no {' and no '.join(missing)}, without which no server keeps a file; write it with UIDs"
        )
    return dataset


def _entry(item: Mapping[str, Any]) -> SeriesEntry:
    def first(tag: str) -> str:
        values = item.get(tag, {}).get("Value") or [""]
        return str(values[0])

    def number(tag: str) -> int | None:
        text = first(tag)
        return int(text) if text.removeprefix("-").isdecimal() and len(text) < 12 else None

    modality = first(_MODALITY)
    known = modality.isascii() and modality.isalpha() and modality.isupper() and len(modality) <= 16
    return SeriesEntry(first(_SERIES), modality if known else "", number(_SERIES_NUMBER), number(_INSTANCES))
