"""What doors share whose clients show images in windows, put together once: they find each other's sessions."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.core.images import ImageStore
from gateway.core.runtime import Admission, Catalog
from gateway.core.runtime.fairness import Places
from gateway.core.segmentation.segmenter import Segmenter
from gateway.core.sessions import Engine, Sessions
from gateway.http.dicomweb import SeriesImages
from gateway.http.image_files import ImageFiles
from gateway.http.requests.spool import Spool
from gateway.http.windows.annotating import Annotating
from gateway.http.windows.lifetimes import Lifetimes
from gateway.http.windows.results import Results
from gateway.http.windows.sessions import ClientSessions

__all__ = ["Windows", "make_windows"]


@dataclass(frozen=True)
class Windows:
    """What these doors share.

    Attributes:
        annotating: Answers points.
        lifetimes: Ends sessions of clients.
        results: Asks models.
        clients: Takes and sends images.
    """

    annotating: Annotating
    lifetimes: Lifetimes
    results: Results
    clients: ClientSessions


def make_windows(
    *,
    images: ImageStore,
    sessions: Sessions,
    catalog: Catalog,
    engine: Engine,
    segmenter: Segmenter,
    uploads: Places,
    files: ImageFiles,
    spool: Spool,
    memory: Admission,
    series: SeriesImages | None = None,
) -> Windows:
    """Put it together.

    Args:
        images: All images.
        sessions: All sessions.
        catalog: Models that can be used now.
        engine: Carries out calls on segments.
        segmenter: Segments whole images.
        uploads: Places of uploads.
        files: Stores images that come as files.
        spool: Files of running calls.
        memory: Memory of answers.
        series: Finds series of the DICOMweb server; None without one.
    """
    annotating = Annotating(sessions=sessions, engine=engine)
    lifetimes = Lifetimes(sessions=sessions, annotating=annotating)
    clients = ClientSessions(
        images=images,
        catalog=catalog,
        files=files,
        annotating=annotating,
        lifetimes=lifetimes,
        uploads=uploads,
        spool=spool,
        series=series,
    )
    return Windows(annotating, lifetimes, Results(annotating=annotating, segmenter=segmenter, memory=memory), clients)
