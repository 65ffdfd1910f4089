"""Authentication: implements the core's :class:`~gateway.core.access.Authenticator`, with several methods at once."""

from gateway.authentication.authenticator import AnybodyAuthenticator, MethodsAuthenticator
from gateway.authentication.certificates import CertificateMethod
from gateway.authentication.exposure import check_exposure, check_http_exposure
from gateway.authentication.limits import PrincipalLimits
from gateway.authentication.proxy import ProxyHeaders, ProxyMethod
from gateway.authentication.refusal import AuthenticationMethod, Refusal
from gateway.authentication.throttle import PeerThrottle
from gateway.authentication.token_file import EntryKind, TokenFile
from gateway.authentication.tokens import PathTokenMethod, TokenMethod

__all__ = [
    "AnybodyAuthenticator",
    "AuthenticationMethod",
    "CertificateMethod",
    "EntryKind",
    "MethodsAuthenticator",
    "PathTokenMethod",
    "PeerThrottle",
    "PrincipalLimits",
    "ProxyHeaders",
    "ProxyMethod",
    "Refusal",
    "TokenFile",
    "TokenMethod",
    "check_exposure",
    "check_http_exposure",
]
