"""Parts of the gateway, as the settings give them."""

from __future__ import annotations

from gateway.core.images import ImageLimits, UnfinishedLimits
from gateway.core.runtime import Admission, DeadlineLimits
from gateway.core.sessions import LogLimits
from gateway.grpc.certificate import ServerCertificate
from gateway.grpc.interceptors import CallDeadlines
from gateway.settings import Settings

__all__ = ["call_deadlines", "certificate", "image_limits", "log_limits", "segmentation_admission"]


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


def segmentation_admission(settings: Settings) -> Admission:
    """Admission of segmentations.

    They have a budget of their own: they take minutes, and prompts must not wait for them.
    """
    return Admission(
        budget=settings.segmentation_memory_bytes,
        max_active=settings.max_segmentations,
        activity="segmentations run",
        setting="SIXPOINT_MAX_SEGMENTATIONS",
    )


def certificate(settings: Settings) -> ServerCertificate | None:
    """The certificate of the port; None without TLS.

    Raises:
        InvalidArgument: The files cannot be used.
    """
    if not settings.tls_cert_file or not settings.tls_key_file:
        return None
    return ServerCertificate(
        settings.tls_cert_file, settings.tls_key_file, client_authority=settings.tls_client_ca_file
    )
