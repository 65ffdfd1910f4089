"""The doors for viewers, put together over what both edges call."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.core.access import Authenticator
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
from gateway.http.windows import Windows, make_windows
from gateway.settings import Settings

__all__ = ["make_doors"]

# Processes that read image files at once, and that fetch series: each may take several times the memory of the largest
# image.
_READERS = 2
# Requests to the DICOMweb server at once; a browser sends six.
_PACS_REQUESTS, _PACS_WAITING = 24, 512


def make_doors(
    settings: Settings, services: Services, spool: Spool, pacs: Pacs | None = None, *, authenticator: Authenticator
) -> list[Door]:
    """Build the doors, in the order in which the page at ``/`` lists them.

    Args:
        settings: Settings of the gateway.
        services: What the doors call.
        spool: Files of running calls.
        pacs: The DICOMweb server; None without one.
        authenticator: Turns credentials into principals.
    """
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
    doors = _Doors(settings, services, spool, files, series, windows, pacs)
    short = call_deadlines(settings).call
    return [
        # First, since its sessions at the root are those of both dialects.
        doors.monai_label(authenticator),
        doors.aiaa(),
        doors.nninteractive(authenticator),
        doors.rest(),
        connect_door(services.unary_calls(), roles=ROLES, is_short=is_short, deadlines=short),
        ohif_door(settings.ohif_folder, deadlines=short),
        doors.itksnap(),
    ]


@dataclass(frozen=True)
class _Doors:
    """What the doors are put together from."""

    settings: Settings
    services: Services
    spool: Spool
    files: ImageFiles
    series: SeriesImages | None
    windows: Windows
    pacs: Pacs | None

    def monai_label(self, authenticator: Authenticator) -> Door:
        limits = call_deadlines(self.settings)
        return monai_label_door(
            images=self.services.images,
            sessions=self.services.sessions,
            catalog=self.services.catalog,
            datasets=self.services.datasets,
            annotations=self.services.annotations,
            saver=self.services.saver,
            assignments=self.services.assignments,
            jobs=self.services.jobs,
            dataset=self.settings.viewer_dataset,
            files=self.files,
            spool=self.spool,
            memory=self.services.prompts,
            windows=self.windows,
            deadlines=(limits.call, limits.upload, limits.segmentation),
            series=self.series,
            proxy=_proxy(self.settings, self.services, self.pacs),
            authenticator=authenticator,
            methods=self.settings.auth_methods,
        )

    def aiaa(self) -> Door:
        limits = call_deadlines(self.settings)
        return aiaa_door(
            images=self.services.images,
            catalog=self.services.catalog,
            files=self.files,
            spool=self.spool,
            windows=self.windows,
            deadlines=(limits.call, limits.upload, limits.segmentation),
        )

    def nninteractive(self, authenticator: Authenticator) -> Door:
        limits = call_deadlines(self.settings)
        return nninteractive_door(
            images=self.services.images,
            sessions=self.services.sessions,
            catalog=self.services.catalog,
            engine=self.services.engine,
            uploads=self.services.uploads,
            files=self.files,
            spool=self.spool,
            memory=self.services.prompts,
            leases=Leases(
                Clocks(self.settings.lease_idle_seconds, self.settings.lease_liveness_seconds),
                # A lease is a viewer that works, as a stream of gRPC is.
                limit=self.settings.max_streams,
                owner_limit=self.settings.owner_streams,
            ),
            anybody=authenticator if "none" in self.settings.auth_methods else None,
            deadlines=(limits.call, limits.upload),
        )

    def rest(self) -> Door:
        limits = call_deadlines(self.settings)
        return rest_door(
            images=self.services.images,
            sessions=self.services.sessions,
            catalog=self.services.catalog,
            engine=self.services.engine,
            segmenter=self.services.segmenter,
            datasets=self.services.dataset_calls(),
            jobs=self.services.job_calls(),
            learning=self.services.learning_calls(),
            streams=Places(
                self.settings.max_streams, owner_limit=self.settings.owner_streams, activity="jobs are watched"
            ),
            uploads=self.services.uploads,
            files=self.files,
            spool=self.spool,
            memory=self.services.prompts,
            deadlines=(limits.call, limits.upload, limits.segmentation),
        )

    def itksnap(self) -> Door:
        limits = call_deadlines(self.settings)
        return itksnap_door(
            images=self.services.images,
            sessions=self.services.sessions,
            catalog=self.services.catalog,
            engine=self.services.engine,
            uploads=self.services.uploads,
            spool=self.spool,
            memory=self.services.prompts,
            max_image_bytes=self.settings.max_image_bytes,
            deadlines=(limits.call, limits.upload),
        )


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
