"""The doors for viewers, put together over what both edges call."""

from __future__ import annotations

from gateway.core.runtime.fairness import Places, Turns
from gateway.edges.services import Services
from gateway.from_settings import call_deadlines
from gateway.http.door import Door
from gateway.http.image_files import ImageFiles
from gateway.http.monai_label import monai_label_door
from gateway.http.requests.spool import Spool
from gateway.http.rest import rest_door
from gateway.settings import Settings

__all__ = ["make_doors"]

# Processes that read image files at once: each may take several times the memory of the largest image.
_READERS = 2


def make_doors(settings: Settings, services: Services, spool: Spool) -> list[Door]:
    """Build the doors, in the order in which the page at ``/`` lists them.

    Args:
        settings: Settings of the gateway.
        services: What the doors call.
        spool: Files of running calls.
    """
    deadlines = call_deadlines(settings)
    reading = Turns(
        _READERS,
        Places(settings.max_uploads, owner_limit=settings.owner_uploads, activity="images are being read"),
    )
    files = ImageFiles(services.images, turns=reading, max_bytes=settings.max_image_bytes)
    return [
        monai_label_door(
            images=services.images,
            sessions=services.sessions,
            catalog=services.catalog,
            engine=services.engine,
            segmenter=services.segmenter,
            uploads=services.uploads,
            files=files,
            spool=spool,
            memory=services.prompts,
            deadlines=(deadlines.call, deadlines.upload, deadlines.segmentation),
        ),
        rest_door(
            images=services.images,
            sessions=services.sessions,
            catalog=services.catalog,
            engine=services.engine,
            segmenter=services.segmenter,
            uploads=services.uploads,
            files=files,
            spool=spool,
            memory=services.prompts,
            deadlines=(deadlines.call, deadlines.upload, deadlines.segmentation),
        ),
    ]
