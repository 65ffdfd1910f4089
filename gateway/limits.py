"""The limits of the core, as the settings give them."""

from __future__ import annotations

from gateway.core.images import ImageLimits, UnfinishedLimits
from gateway.core.sessions import LogLimits
from gateway.settings import Settings

__all__ = ["image_limits", "log_limits"]


def image_limits(settings: Settings) -> ImageLimits:
    """Limits of images, uploads and caches."""
    return ImageLimits(
        image=settings.max_image_bytes,
        disk=settings.disk_bytes,
        owner=settings.owner_image_bytes,
        cache=settings.cache_bytes,
        memory=settings.image_memory_bytes,
        idle=settings.image_idle_seconds,
        unfinished=UnfinishedLimits(
            total=settings.unfinished_upload_bytes,
            owner=settings.owner_unfinished_upload_bytes,
            idle=settings.unfinished_upload_seconds,
        ),
    )


def log_limits(settings: Settings) -> LogLimits:
    """Limits of the logs of sessions."""
    return LogLimits(
        steps=settings.session_steps,
        session=settings.session_log_bytes,
        owner=settings.owner_log_bytes,
        total=settings.log_bytes,
    )
