"""The doors for viewers, put together over what both edges call."""

from __future__ import annotations

from gateway.core.runtime.fairness import Places, Turns
from gateway.edges.services import Services
from gateway.from_settings import call_deadlines
from gateway.grpc.interceptors import is_short
from gateway.grpc.permissions import ROLES
from gateway.http.aiaa import aiaa_door
from gateway.http.connect import connect_door
from gateway.http.dicomweb import DicomwebProxy, Pacs, SeriesImages
from gateway.http.door import Door
from gateway.http.image_files import ImageFiles
from gateway.http.itksnap import itksnap_door
from gateway.http.monai_label import monai_label_door
from gateway.http.nninteractive import nninteractive_door
from gateway.http.nninteractive.leases import Clocks, Leases
from gateway.http.ohif import ohif_door
from gateway.http.requests.spool import Spool
from gateway.http.rest import rest_door
from gateway.http.windows import make_windows
from gateway.settings import Settings

__all__ = ["make_doors"]

# Processes that read image files at once, and that fetch series: each may take several times the memory of the largest
# image.
_READERS = 2
# Requests to the DICOMweb server at once; a browser sends six.
_PACS_REQUESTS, _PACS_WAITING = 24, 512


def make_doors(settings: Settings, services: Services, spool: Spool, pacs: Pacs | None = None) -> list[Door]:
    """Build the doors, in the order in which the page at ``/`` lists them.

    Args:
        settings: Settings of the gateway.
        services: What the doors call.
        spool: Files of running calls.
        pacs: The DICOMweb server; None without one.
    """
    deadlines = call_deadlines(settings)
    reading = Turns(
        _READERS,
        Places(settings.max_uploads, owner_limit=settings.owner_uploads, activity="images are being read"),
    )
    files = ImageFiles(services.images, turns=reading, max_bytes=settings.max_image_bytes)
    series = _series(settings, services, pacs, files)
    windows = make_windows(
        images=services.images,
        sessions=services.sessions,
        catalog=services.catalog,
        engine=services.engine,
        segmenter=services.segmenter,
        uploads=services.uploads,
        files=files,
        spool=spool,
        memory=services.prompts,
        series=series,
    )
    call_limits = (deadlines.call, deadlines.upload, deadlines.segmentation)
    return [
        # First, since its sessions at the root are those of both dialects.
        monai_label_door(
            images=services.images,
            sessions=services.sessions,
            catalog=services.catalog,
            datasets=services.datasets,
            annotations=services.annotations,
            saver=services.saver,
            assignments=services.assignments,
            dataset=settings.viewer_dataset,
            files=files,
            spool=spool,
            memory=services.prompts,
            windows=windows,
            deadlines=call_limits,
            series=series,
            proxy=_proxy(settings, services, pacs),
        ),
        aiaa_door(
            images=services.images,
            catalog=services.catalog,
            files=files,
            spool=spool,
            windows=windows,
            deadlines=call_limits,
        ),
        nninteractive_door(
            images=services.images,
            sessions=services.sessions,
            catalog=services.catalog,
            engine=services.engine,
            uploads=services.uploads,
            files=files,
            spool=spool,
            memory=services.prompts,
            leases=Leases(
                Clocks(settings.lease_idle_seconds, settings.lease_liveness_seconds),
                # A lease is a viewer that works, as a stream of gRPC is.
                limit=settings.max_streams,
                owner_limit=settings.owner_streams,
            ),
            deadlines=(deadlines.call, deadlines.upload),
        ),
        rest_door(
            images=services.images,
            sessions=services.sessions,
            catalog=services.catalog,
            engine=services.engine,
            segmenter=services.segmenter,
            datasets=services.dataset_calls(),
            uploads=services.uploads,
            files=files,
            spool=spool,
            memory=services.prompts,
            deadlines=call_limits,
        ),
        connect_door(services.unary_calls(), roles=ROLES, is_short=is_short, deadlines=deadlines.call),
        ohif_door(settings.ohif_folder, deadlines=deadlines.call),
        itksnap_door(
            images=services.images,
            sessions=services.sessions,
            catalog=services.catalog,
            engine=services.engine,
            uploads=services.uploads,
            spool=spool,
            memory=services.prompts,
            max_image_bytes=settings.max_image_bytes,
            deadlines=(deadlines.call, deadlines.upload),
        ),
    ]


def _series(settings: Settings, services: Services, pacs: Pacs | None, files: ImageFiles) -> SeriesImages | None:
    if pacs is None:
        return None
    fetching = Turns(
        _READERS,
        Places(settings.max_uploads, owner_limit=settings.owner_uploads, activity="series are being fetched"),
    )
    return SeriesImages(pacs, images=services.images, files=files, turns=fetching, max_bytes=settings.max_image_bytes)


def _proxy(settings: Settings, services: Services, pacs: Pacs | None) -> DicomwebProxy:
    waiting = Places(_PACS_WAITING, owner_limit=_PACS_WAITING * 3 // 4, activity="requests for DICOMweb run")
    return DicomwebProxy(
        pacs,
        turns=Turns(_PACS_REQUESTS, waiting, newcomers=_PACS_REQUESTS // 4),
        uploads=services.uploads,
        max_body_bytes=settings.max_image_bytes + 2**20,
    )
