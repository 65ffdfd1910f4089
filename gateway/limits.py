"""The limits of the core and of calls, as the settings give them."""

from __future__ import annotations

from gateway.core.images import ImageLimits, UnfinishedLimits
from gateway.core.runtime import DeadlineLimits
from gateway.core.sessions import LogLimits
from gateway.grpc.interceptors import CallDeadlines
from gateway.settings import Settings

__all__ = ["call_deadlines", "image_limits", "log_limits"]


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


def call_deadlines(settings: Settings) -> CallDeadlines:
    """Deadlines of each kind of call."""
    longest = settings.max_stream_seconds
    return CallDeadlines(
        call=DeadlineLimits(settings.call_seconds, settings.max_call_seconds, "CALL_SECONDS"),
        upload=DeadlineLimits(settings.upload_seconds, settings.max_upload_seconds, "UPLOAD_SECONDS"),
        segmentation=DeadlineLimits(
            settings.segmentation_seconds, settings.max_segmentation_seconds, "SEGMENTATION_SECONDS"
        ),
        stream=DeadlineLimits(longest, longest, "STREAM_SECONDS"),
    )
