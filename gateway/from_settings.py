"""Parts of the gateway, as the settings give them."""

from __future__ import annotations

from collections.abc import Callable

from gateway.authentication import (
    AnybodyAuthenticator,
    AuthenticationMethod,
    CertificateMethod,
    MethodsAuthenticator,
    PathTokenMethod,
    PeerThrottle,
    PrincipalLimits,
    ProxyHeaders,
    ProxyMethod,
    TokenFile,
    TokenMethod,
    check_exposure,
)
from gateway.core.access import Authenticator, Method
from gateway.core.images import ImageLimits, UnfinishedLimits
from gateway.core.runtime import Admission, DeadlineLimits
from gateway.core.runtime.fairness import Pace, Places, Transfers, Turns
from gateway.core.sessions import LogLimits
from gateway.grpc.interceptors import CallDeadlines
from gateway.grpc.server import ConnectionLimits
from gateway.grpc.tls.certificate import ServerCertificate
from gateway.http.dicomweb.pacs import PacsAccess
from gateway.settings import Settings
from sixpoint.io.dicomweb import authorization

__all__ = [
    "authenticator",
    "call_deadlines",
    "certificate",
    "connection_limits",
    "image_limits",
    "log_limits",
    "pacs_access",
    "principal_limits",
    "prompt_admission",
    "segmentation_admission",
    "short_calls",
    "stream_places",
    "sweep_interval",
    "transfers",
    "upload_memory",
    "upload_places",
]

# Short calls, such as descriptions of sessions, take turns on the interpreter: more at once take no less time.
_CALLS_AT_ONCE = 3
_SWEEP_SECONDS = 30.0
# Bytes per second and core that uploads and downloads may take while prompts are answered. To receive, check and write
# so many keeps a core busy for a third of the time.
_TRANSFER_RATE = 64 * 2**20
_MAX_CALLS, _OWNER_CALLS = 1024, 896


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


def pacs_access(settings: Settings) -> PacsAccess | None:
    """How the DICOMweb server for viewers is reached; None without one.

    Raises:
        InvalidArgument: The credentials cannot be sent.
    """
    if not settings.dicomweb_url:
        return None
    return PacsAccess(
        settings.dicomweb_url,
        authorization=authorization(settings.dicomweb_token.get_secret_value()),
        ca_file=str(settings.dicomweb_ca_file or ""),
        tenants=settings.dicomweb_tenant_names,
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


def connection_limits(settings: Settings) -> ConnectionLimits:
    """Limits of connections."""
    kinds = call_deadlines(settings)
    longest = max(
        max(kind.default, kind.maximum) for kind in (kinds.call, kinds.upload, kinds.segmentation, kinds.stream)
    )
    return ConnectionLimits(
        count=settings.max_connections,
        idle=settings.connection_idle_seconds,
        age=settings.connection_age_seconds,
        grace=settings.connection_grace_seconds or longest,
    )


def prompt_admission(settings: Settings) -> Admission:
    """Admission of prompts, and of what else is done on segments."""
    return Admission(
        budget=settings.prompt_memory_bytes, max_active=settings.max_prompts, owner_active=settings.owner_prompts
    )


def segmentation_admission(settings: Settings) -> Admission:
    """Admission of segmentations.

    They have a budget of their own: they take minutes, and prompts must not wait for them.
    """
    return Admission(
        budget=settings.segmentation_memory_bytes,
        max_active=settings.max_segmentations,
        owner_active=settings.owner_segmentations,
        activity="segmentations run",
        settings=("SIXPOINT_MAX_SEGMENTATIONS", "SIXPOINT_OWNER_SEGMENTATIONS"),
    )


def stream_places(settings: Settings) -> Places:
    """Places of viewers' streams, which keep them for hours."""
    return Places(
        settings.max_streams,
        owner_limit=settings.owner_streams,
        activity="streams are open",
        settings=("SIXPOINT_MAX_STREAMS", "SIXPOINT_OWNER_STREAMS"),
        evict=False,
    )


def sweep_interval(settings: Settings) -> float:
    """Seconds between two sweeps of the stores."""
    return min(_SWEEP_SECONDS, settings.session_idle_seconds / 4, settings.image_idle_seconds / 4)


def upload_memory(settings: Settings) -> Admission:
    """Memory of uploads; an eighth is for owners of whom none runs."""
    budget = settings.upload_memory_bytes
    return Admission(budget=budget, newcomers=budget // 8, max_active=1)


def transfers(settings: Settings, *, needed: Callable[[], bool]) -> Transfers:
    """Turns and pace of uploads and downloads.

    Args:
        settings: Settings of the gateway.
        needed: Function that returns whether calls run that they would slow down.
    """
    return Transfers(Pace(_TRANSFER_RATE * settings.workers, needed=needed))


def upload_places(settings: Settings) -> Places:
    """Places of uploads. One that has to leave its place goes on later from where it was."""
    return Places(
        settings.max_uploads,
        owner_limit=settings.owner_uploads,
        activity="uploads run",
        settings=("SIXPOINT_MAX_UPLOADS", "SIXPOINT_OWNER_UPLOADS"),
    )


def short_calls() -> Turns:
    """Turns of calls that neither annotate nor upload."""
    return Turns(_CALLS_AT_ONCE, Places(_MAX_CALLS, owner_limit=_OWNER_CALLS, activity="calls run"))


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


def authenticator(settings: Settings, *, on_failure: Callable[[str], None]) -> Authenticator:
    """What finds out who calls.

    Args:
        settings: Settings of the gateway.
        on_failure: Function called with the kind of each failed attempt.

    Raises:
        InvalidArgument: Others could use the gateway as whom they like, or a file cannot be used.
    """
    wanted = settings.auth_methods
    check_exposure(
        host=settings.host, methods=wanted, tls=settings.tls_cert_file is not None, insecure=settings.insecure
    )
    headers = ProxyHeaders(settings.proxy_subject_header, settings.proxy_tenant_header, settings.proxy_roles_header)
    if "none" in wanted:
        return AnybodyAuthenticator(headers)
    methods: dict[Method, AuthenticationMethod] = {}
    if wanted & {"tokens", "mtls"}:
        file = TokenFile(settings.tokens_file)
        if "tokens" in wanted:
            methods["tokens"] = TokenMethod(file)
        if settings.path_tokens:
            methods["path"] = PathTokenMethod(file)
        if "mtls" in wanted:
            methods["mtls"] = CertificateMethod(file)
    if "oidc" in wanted:
        methods["oidc"] = _oidc_method(settings)
    if "proxy" in wanted:
        methods["proxy"] = ProxyMethod(settings.proxies, headers)
    return MethodsAuthenticator(methods, headers=headers, throttle=PeerThrottle(on_failure))


def _oidc_method(settings: Settings) -> AuthenticationMethod:
    # Imported here: PyJWT takes a while to import.
    from gateway.authentication.oidc import AccessTokens, IssuerDocuments, IssuerKeys, OidcMethod

    issuer = IssuerDocuments(settings.oidc_issuer, authority=settings.oidc_ca_file)
    tokens = AccessTokens(
        issuer=settings.oidc_issuer,
        audience=settings.oidc_audience,
        subject_claim=settings.oidc_subject_claim,
        tenant_claim=settings.oidc_tenant_claim,
        roles_claim=settings.oidc_roles_claim,
        roles=settings.oidc_role_names,
    )
    return OidcMethod(IssuerKeys(issuer.keys), tokens)


def principal_limits(settings: Settings) -> PrincipalLimits:
    """Limits of what one principal may do in a time."""
    return PrincipalLimits(
        calls_per_second=settings.owner_calls_per_second,
        upload_bytes_per_second=settings.owner_upload_bytes_per_second,
        segmentations_per_minute=settings.owner_segmentations_per_minute,
    )
