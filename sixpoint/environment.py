"""The environment variables that sixpoint reads, a warning about misspelt ones, and where the model repository is."""

from __future__ import annotations

import difflib
import os
import re
import shlex
from collections.abc import Iterable
from pathlib import Path

__all__ = [
    "CLIENT_VARIABLES",
    "EXPORTER_VARIABLES",
    "GATEWAY_VARIABLES",
    "REPOSITORY_VARIABLE",
    "default_repository",
    "misspelt_variables",
    "repository_from_environment",
    "repository_option",
]

_PREFIX = "SIXPOINT_"

REPOSITORY_VARIABLE = "SIXPOINT_TRITON_MODEL_REPOSITORY"
"""Variable that names the model repository of a Triton on this machine."""

_STATE_VARIABLE = "SIXPOINT_STATE_FOLDER"
_STATE_FOLDER = "state"

CLIENT_VARIABLES = frozenset(
    {
        "SIXPOINT_CA_FILE",
        "SIXPOINT_CLIENT_CERT_FILE",
        "SIXPOINT_CLIENT_KEY_FILE",
        "SIXPOINT_DICOMWEB_TOKEN",
        "SIXPOINT_DICOMWEB_TOKEN_FILE",
        "SIXPOINT_OIDC_AUDIENCE",
        "SIXPOINT_OIDC_CLIENT_ID",
        "SIXPOINT_OIDC_ISSUER",
        "SIXPOINT_OIDC_RESOURCE",
        "SIXPOINT_OIDC_SCOPE",
        "SIXPOINT_OWNER",
        "SIXPOINT_SERVER",
        "SIXPOINT_TOKEN",
        "SIXPOINT_TOKEN_FILE",
    }
)
"""Variables of the SDK and the command line ``sixpoint``."""

EXPORTER_VARIABLES = frozenset({"SIXPOINT_HUGGING_FACE_URL", "SIXPOINT_MODEL_CACHE", "SIXPOINT_NGC_URL"})
"""Variables of the command line ``exporter``."""

GATEWAY_VARIABLES = frozenset(
    {
        "SIXPOINT_ANNOTATION_BYTES",
        "SIXPOINT_AUDIT",
        "SIXPOINT_AUDIT_SECONDS",
        "SIXPOINT_AUTH",
        "SIXPOINT_BLOBS_URL",
        "SIXPOINT_BLOBS_URL_FILE",
        "SIXPOINT_CACHE_BYTES",
        "SIXPOINT_CACHE_FOLDER",
        "SIXPOINT_CALL_SECONDS",
        "SIXPOINT_CONNECTION_AGE_SECONDS",
        "SIXPOINT_CONNECTION_GRACE_SECONDS",
        "SIXPOINT_CONNECTION_IDLE_SECONDS",
        "SIXPOINT_DATABASE_URL",
        "SIXPOINT_DATABASE_URL_FILE",
        "SIXPOINT_DICOMWEB_CA_FILE",
        "SIXPOINT_DICOMWEB_TENANTS",
        "SIXPOINT_DICOMWEB_TOKEN",
        "SIXPOINT_DICOMWEB_TOKEN_FILE",
        "SIXPOINT_DICOMWEB_URL",
        "SIXPOINT_DISK_BYTES",
        "SIXPOINT_DRAIN_NOTICE_SECONDS",
        "SIXPOINT_DRAIN_SECONDS",
        "SIXPOINT_HEALTH_PORT",
        "SIXPOINT_HOST",
        "SIXPOINT_HTTPS_PORT",
        "SIXPOINT_HTTP_ORIGINS",
        "SIXPOINT_HTTP_PORT",
        "SIXPOINT_IMAGE_IDLE_SECONDS",
        "SIXPOINT_IMAGE_MEMORY_BYTES",
        "SIXPOINT_INSECURE",
        "SIXPOINT_EXPORT_FOLDER",
        "SIXPOINT_IMPORT_FOLDER",
        "SIXPOINT_JOBS_FOLDER",
        "SIXPOINT_JOBS_PYTHON",
        "SIXPOINT_JOBS_SERVER",
        "SIXPOINT_JOB_WORKERS",
        "SIXPOINT_LEASE_IDLE_SECONDS",
        "SIXPOINT_LEASE_LIVENESS_SECONDS",
        "SIXPOINT_LOG_BYTES",
        "SIXPOINT_LOG_FORMAT",
        "SIXPOINT_LOG_LEVEL",
        "SIXPOINT_MAX_CALL_SECONDS",
        "SIXPOINT_MAX_CONNECTIONS",
        "SIXPOINT_MAX_IMAGE_BYTES",
        "SIXPOINT_MAX_PROMPTS",
        "SIXPOINT_MAX_SEGMENTATIONS",
        "SIXPOINT_MAX_SEGMENTATION_SECONDS",
        "SIXPOINT_MAX_SESSIONS",
        "SIXPOINT_MAX_STREAMS",
        "SIXPOINT_MAX_STREAM_SECONDS",
        "SIXPOINT_MAX_UPLOADS",
        "SIXPOINT_MAX_UPLOAD_SECONDS",
        "SIXPOINT_OHIF_FOLDER",
        "SIXPOINT_TENANT_JOBS",
        "SIXPOINT_TENANT_RUNNING_JOBS",
        "SIXPOINT_VIEWER_DATASET",
        "SIXPOINT_OIDC_AUDIENCE",
        "SIXPOINT_OIDC_CA_FILE",
        "SIXPOINT_OIDC_ISSUER",
        "SIXPOINT_OIDC_ROLES",
        "SIXPOINT_OIDC_ROLES_CLAIM",
        "SIXPOINT_OIDC_SUBJECT_CLAIM",
        "SIXPOINT_OIDC_TENANT_CLAIM",
        "SIXPOINT_OWNER_CALLS_PER_SECOND",
        "SIXPOINT_OWNER_IMAGE_BYTES",
        "SIXPOINT_OWNER_LOG_BYTES",
        "SIXPOINT_OWNER_PROMPTS",
        "SIXPOINT_OWNER_SEGMENTATIONS",
        "SIXPOINT_OWNER_SEGMENTATIONS_PER_MINUTE",
        "SIXPOINT_OWNER_SESSIONS",
        "SIXPOINT_OWNER_STREAMS",
        "SIXPOINT_OWNER_UNFINISHED_UPLOAD_BYTES",
        "SIXPOINT_OWNER_UPLOADS",
        "SIXPOINT_OWNER_UPLOAD_BYTES_PER_SECOND",
        "SIXPOINT_PATH_TOKENS",
        "SIXPOINT_PORT",
        "SIXPOINT_PROMPT_MEMORY_BYTES",
        "SIXPOINT_PROXY_NAMES",
        "SIXPOINT_PROXY_ROLES_HEADER",
        "SIXPOINT_PROXY_SUBJECT_HEADER",
        "SIXPOINT_PROXY_TENANT_HEADER",
        "SIXPOINT_REFLECTION",
        "SIXPOINT_SEGMENTATION_MEMORY_BYTES",
        "SIXPOINT_SEGMENTATION_PATCHES",
        "SIXPOINT_SEGMENTATION_SECONDS",
        "SIXPOINT_SESSION_IDLE_SECONDS",
        "SIXPOINT_SESSION_LOG_BYTES",
        "SIXPOINT_SESSION_MEMORY_BYTES",
        "SIXPOINT_SESSION_MEMORY_SECONDS",
        "SIXPOINT_SESSION_STEPS",
        "SIXPOINT_STATE_FOLDER",
        "SIXPOINT_STATUS_PORT",
        "SIXPOINT_STORAGE_POLL_SECONDS",
        "SIXPOINT_STREAM_IDLE_SECONDS",
        "SIXPOINT_STREAM_MEMORY_BYTES",
        "SIXPOINT_TLS_CERT_FILE",
        "SIXPOINT_TLS_CLIENT_CA_FILE",
        "SIXPOINT_TLS_KEY_FILE",
        "SIXPOINT_TOKENS_FILE",
        "SIXPOINT_TRACES_RATIO",
        "SIXPOINT_TRACES_SERVICE",
        "SIXPOINT_TRACES_URL",
        "SIXPOINT_TRITON_CA_FILE",
        "SIXPOINT_TRITON_CLIENT_CERT_FILE",
        "SIXPOINT_TRITON_CLIENT_KEY_FILE",
        "SIXPOINT_TRITON_ENVIRONMENT",
        "SIXPOINT_TRITON_GRPC_PORT",
        "SIXPOINT_TRITON_KEY",
        "SIXPOINT_TRITON_KEY_FILE",
        "SIXPOINT_TRITON_METRICS_PORT",
        "SIXPOINT_TRITON_MODEL_REPOSITORY",
        "SIXPOINT_TRITON_POLL_SECONDS",
        "SIXPOINT_TRITON_SHARED_MEMORY",
        "SIXPOINT_TRITON_URL",
        "SIXPOINT_UNFINISHED_UPLOAD_BYTES",
        "SIXPOINT_UNFINISHED_UPLOAD_SECONDS",
        "SIXPOINT_UPLOAD_IDLE_SECONDS",
        "SIXPOINT_UPLOAD_MEMORY_BYTES",
        "SIXPOINT_UPLOAD_SECONDS",
        "SIXPOINT_WORKERS",
        "SIXPOINT_WORKER_JOBS",
        "SIXPOINT_WORKER_KINDS",
    }
)
"""Variables of the gateway: its settings. They are here since a client without the gateway should know them, too."""

# Kubernetes describes every service to every container: SIXPOINT_PORT_50051_TCP_ADDR for a service named sixpoint.
_KUBERNETES_MARK = "KUBERNETES_SERVICE_HOST"
_KUBERNETES = re.compile(r".+_(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT(?:_\d+_(?:TCP|UDP|SCTP)(?:_\w+)?)?)")


def misspelt_variables(names: Iterable[str]) -> list[str]:
    """Name the variables that begin like those of sixpoint, but which nothing reads.

    Args:
        names: Names of the environment's variables; their values are not asked for.

    Returns:
        One sentence per variable, with the nearest name that exists, in alphabetical order.
    """
    present = frozenset(names)
    recognised = CLIENT_VARIABLES | EXPORTER_VARIABLES | GATEWAY_VARIABLES
    sentences = []
    for name in sorted(present - recognised):
        # Settings of the gateway may be written in any case, but not the others.
        if not name.upper().startswith(_PREFIX) or name.upper() in GATEWAY_VARIABLES:
            continue
        if _KUBERNETES_MARK in present and _KUBERNETES.fullmatch(name):
            continue
        nearest = difflib.get_close_matches(name.upper(), recognised, n=1, cutoff=0.8)
        advice = f"; did you mean {nearest[0]}?" if nearest else ""
        sentences.append(f"the environment variable {name} is no setting of sixpoint and is ignored{advice}")
    return sentences


def default_repository(state_folder: Path) -> Path:
    """Return the model repository in the gateway's state folder."""
    return state_folder / "model_repository"


def repository_from_environment() -> str:
    """Return the address of the model repository that ``gateway serve --local-triton`` serves with this environment."""
    state = Path(os.environ.get(_STATE_VARIABLE) or _STATE_FOLDER)
    return os.environ.get(REPOSITORY_VARIABLE) or str(default_repository(state))


def repository_option(address: str) -> str:
    """Return `` --repository ADDRESS`` for a command that is printed; empty if the exporter finds it without.

    Args:
        address: Path or URL of the model repository.
    """
    default = repository_from_environment()
    same = address == default or ("://" not in address and Path(address).absolute() == Path(default).absolute())
    return "" if same else f" --repository {shlex.quote(address)}"
