"""Checks of the settings among themselves."""

from __future__ import annotations

import os
from collections.abc import Iterator
from urllib.parse import urlsplit

from gateway.settings import Settings
from sixpoint.cli.doctor.connection import Finding
from sixpoint.environment import misspelt_variables
from sixpoint.io.object_store import s3_endpoint
from sixpoint.protocol import is_loopback_host

__all__ = ["check_settings"]


def check_settings(settings: Settings) -> Iterator[Finding]:
    """Name settings that nothing reads, and those that contradict each other."""
    problems = [*misspelt_variables(os.environ), *_contradictions(settings)]
    for problem in problems:
        yield Finding("settings", False, problem, "Correct the variable, or unset it.")
    if not problems:
        number = len(settings.model_fields_set)
        yield Finding("settings", True, f"{number} set, the others have their defaults" if number else "all by default")


def _contradictions(settings: Settings) -> Iterator[str]:
    yield from _equal_ports(settings)
    for kind in ("call", "upload", "segmentation"):
        default, longest = getattr(settings, f"{kind}_seconds"), getattr(settings, f"max_{kind}_seconds")
        if default > longest:
            name = f"SIXPOINT_{kind.upper()}_SECONDS"
            yield f"{name} is {default:g}, more than SIXPOINT_MAX_{kind.upper()}_SECONDS, {longest:g}"
    if settings.max_image_bytes > settings.disk_bytes:
        yield "SIXPOINT_MAX_IMAGE_BYTES is more than SIXPOINT_DISK_BYTES: the largest image cannot be stored"
    for thing in ("prompts", "segmentations", "sessions", "streams", "uploads"):
        own, all_owners = getattr(settings, f"owner_{thing}"), getattr(settings, f"max_{thing}")
        if own > all_owners:
            yield f"SIXPOINT_OWNER_{thing.upper()} is {own}, more than SIXPOINT_MAX_{thing.upper()}, {all_owners}"
    files = (settings.triton_ca_file, settings.triton_client_cert_file, settings.triton_client_key_file)
    if any(files) and "https://" not in settings.triton_url:
        yield (
            "SIXPOINT_TRITON_CA_FILE, _CLIENT_CERT_FILE and _CLIENT_KEY_FILE are for TLS, and SIXPOINT_TRITON_URL has "
            "no https:// before its addresses"
        )
    yield from _plain_object_store(settings)


def _equal_ports(settings: Settings) -> Iterator[str]:
    ports: dict[int, str] = {}
    for name in ("port", "health_port", "status_port", "http_port", "https_port"):
        port = getattr(settings, name)
        if port and port in ports:
            yield f"SIXPOINT_{name.upper()} and {ports[port]} are both {port}"
        elif port:
            ports[port] = f"SIXPOINT_{name.upper()}"


def _plain_object_store(settings: Settings) -> Iterator[str]:
    if not settings.blobs_url.get_secret_value().startswith("s3"):
        return
    parts = urlsplit(s3_endpoint())
    allowed = os.environ.get("AWS_ALLOW_HTTP", "").lower() in {"1", "true", "yes", "on"}
    if parts.scheme == "http" and not allowed:
        yield "the endpoint of S3 begins with http://, which AWS_ALLOW_HTTP=true must permit"
    elif parts.scheme == "http" and not is_loopback_host(parts.hostname or ""):
        yield (
            "AWS_ALLOW_HTTP lets images travel to S3 in the clear: use an https:// endpoint, with AWS_CA_BUNDLE for an "
            "authority of your own"
        )
