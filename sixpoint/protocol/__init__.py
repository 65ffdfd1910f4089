"""What travels over gRPC: messages of sixpoint.v1, statuses and metadata, to and from sixpoint's types; addresses."""

from sixpoint.protocol.address import (
    DEFAULT_SERVER,
    SERVER_VARIABLE,
    Address,
    Target,
    is_loopback_host,
    is_loopback_listener,
    parse_address,
    resolve_target,
)
from sixpoint.protocol.converters import (
    geometry_from_message,
    geometry_to_message,
    mask_from_message,
    mask_to_message,
    model_to_message,
    timings_from_message,
    timings_to_message,
    write_mask,
)
from sixpoint.protocol.foreign_servers import closed_at_once, describe_foreign_server, describe_tls_failure
from sixpoint.protocol.identity import OWNER_KEY, owner_from_metadata, owner_to_metadata
from sixpoint.protocol.prompts import prompt_from_message, prompt_to_message
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
    "DEFAULT_SERVER",
    "DETAILS_KEY",
    "OWNER_KEY",
    "SERVER_VARIABLE",
    "STATUS_CODES",
    "Address",
    "Target",
    "closed_at_once",
    "describe_foreign_server",
    "describe_tls_failure",
    "error_from_rpc",
    "error_from_status",
    "error_to_status",
    "geometry_from_message",
    "geometry_to_message",
    "is_from_gateway",
    "is_loopback_host",
    "is_loopback_listener",
    "mask_from_message",
    "mask_to_message",
    "model_to_message",
    "owner_from_metadata",
    "owner_to_metadata",
    "parse_address",
    "prompt_from_message",
    "prompt_to_message",
    "resolve_target",
    "status_code",
    "timings_from_message",
    "timings_to_message",
    "write_mask",
]
