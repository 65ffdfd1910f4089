"""Convert between sixpoint's types and what travels over gRPC: messages of sixpoint.v1, statuses, metadata."""

from sixpoint.protocol.converters import (
    geometry_from_message,
    geometry_to_message,
    mask_from_message,
    mask_to_message,
    model_to_message,
    prompt_from_message,
    prompt_to_message,
    timings_from_message,
    timings_to_message,
)
from sixpoint.protocol.identity import OWNER_KEY, owner_from_metadata, owner_to_metadata
from sixpoint.protocol.status import (
    DETAILS_KEY,
    STATUS_CODES,
    error_from_rpc,
    error_from_status,
    error_to_status,
    is_from_gateway,
    status_code,
)

__all__ = [
    "DETAILS_KEY",
    "OWNER_KEY",
    "STATUS_CODES",
    "error_from_rpc",
    "error_from_status",
    "error_to_status",
    "geometry_from_message",
    "geometry_to_message",
    "is_from_gateway",
    "mask_from_message",
    "mask_to_message",
    "model_to_message",
    "owner_from_metadata",
    "owner_to_metadata",
    "prompt_from_message",
    "prompt_to_message",
    "status_code",
    "timings_from_message",
    "timings_to_message",
]
