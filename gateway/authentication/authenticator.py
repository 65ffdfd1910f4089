"""The authenticators: one for a gateway that anybody may call, and one that tries several methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gateway.authentication.bearer import bearer_token
from gateway.authentication.proxy import ProxyHeaders
from gateway.authentication.refusal import AuthenticationMethod, Refusal
from gateway.authentication.throttle import PeerThrottle
from gateway.core.access import Credentials, Method, OpenAccess, Principal
from sixpoint.errors import InvalidArgument, ResourceExhausted, Unauthenticated

__all__ = ["AnybodyAuthenticator", "MethodsAuthenticator"]

# What a caller can do, for each method that the gateway takes.
_ADVICE: Mapping[Method, str] = {
    "tokens": "a token (SIXPOINT_TOKEN, SIXPOINT_TOKEN_FILE)",
    "oidc": "a login (sixpoint login)",
    "mtls": "a client certificate that it knows (SIXPOINT_CLIENT_CERT_FILE)",
    "proxy": "calls through its proxy",
    "path": "links with a token in them",
}


class AnybodyAuthenticator(OpenAccess):
    """Believes everybody, as :class:`~gateway.core.access.OpenAccess` does.

    Args:
        headers: Names of a proxy's identity headers, which are refused: whoever sets them expects that they count.
    """

    def __init__(self, headers: ProxyHeaders) -> None:
        self._headers = headers

    async def authenticate(self, credentials: Credentials) -> Principal:
        """Return who the caller says it is.

        Raises:
            Unauthenticated: The call bears identity headers.
        """
        if self._headers.any_in(credentials):
            raise Unauthenticated(
                "this gateway checks no identities and takes no identity headers; its operator has to set "
                "SIXPOINT_AUTH=proxy"
            )
        return await super().authenticate(credentials)


class MethodsAuthenticator:
    """Takes credentials of several kinds. Those of one call are of one kind.

    A client's certificate, which comes with each call of a connection, counts if nothing else came.

    Args:
        methods: The methods by name.
        headers: Names of a proxy's identity headers, which are never ignored.
        throttle: Throttle of failed attempts.
    """

    def __init__(
        self, methods: Mapping[Method, AuthenticationMethod], *, headers: ProxyHeaders, throttle: PeerThrottle
    ) -> None:
        self._methods = methods
        self._headers = headers
        self._throttle = throttle

    async def authenticate(self, credentials: Credentials) -> Principal:
        """Return who calls.

        Raises:
            Unauthenticated: There are no credentials, or none that are valid.
            InvalidArgument: The owner's name is not the caller's.
            ResourceExhausted: Too many calls from this peer failed to prove who they are.
            Unavailable: It cannot be told at the moment, since the issuer of tokens is away.
        """
        result = await self._identify(credentials)
        if isinstance(result, Refusal):
            raise self._error(credentials.peer, result)
        if credentials.owner not in ("", result.subject):
            raise InvalidArgument(
                "the owner of a call is who makes it: leave sixpoint-owner (SIXPOINT_OWNER) away, or set it to the "
                "name that your credentials have"
            )
        return result

    async def _identify(self, credentials: Credentials) -> Principal | Refusal:
        claimed = self._headers.any_in(credentials)
        if sum((bool(credentials.authorization), bool(credentials.path_token), claimed)) > 1:
            return Refusal("several", "the call bears credentials of several kinds; send one")
        names: Sequence[Method]
        if credentials.authorization:
            token = bearer_token(credentials.authorization)
            if isinstance(token, Refusal):
                return token
            names = ("tokens", "oidc")
        elif credentials.path_token:
            names = ("path",)
        elif claimed:
            names = ("proxy",)
        else:
            names = ("mtls",)
        for name in names:
            method = self._methods.get(name)
            result = await method.identify(credentials) if method else None
            if result is not None:
                return result
        if claimed:
            return Refusal("proxy", "this gateway takes no identity headers; send none")
        return Refusal("unknown" if names != ("mtls",) else "missing")

    def _error(self, peer: str, refusal: Refusal) -> Unauthenticated | ResourceExhausted:
        wait = self._throttle.fail(peer, refusal.kind)
        if wait:
            return ResourceExhausted(
                "too many calls from your address failed to prove who they are; correct the credentials, then try "
                "again",
                retry_after=wait,
            )
        taken = " or ".join(text for name, text in _ADVICE.items() if name in self._methods)
        reason = refusal.explanation or (
            "this gateway asks who calls, and no credentials came with the call"
            if refusal.kind == "missing"
            else "the credentials of the call are not valid"
        )
        return Unauthenticated(f"{reason}. This gateway takes {taken}; whoever manages it gives them out")
