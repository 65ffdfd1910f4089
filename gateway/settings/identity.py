"""Settings of who may call the gateway, and how callers prove who they are."""

from __future__ import annotations

from pathlib import Path
from typing import Self, get_args

from pydantic import Field, field_validator, model_validator

from gateway.core.access import Method, Role
from gateway.settings.network import NetworkSettings
from gateway.settings.storage import StorageSettings

__all__ = ["IdentitySettings"]

_METHODS: dict[str, Method] = {name: name for name in get_args(Method) if name != "path"}
_ROLES = {role.name.lower(): role for role in Role}


class IdentitySettings(StorageSettings, NetworkSettings):
    """Methods of authentication. The file of tokens is in the state folder."""

    auth: str = "none"
    """How callers prove who they are: tokens, oidc, mtls, proxy, several with commas; or none, to believe everybody."""
    insecure: bool = False
    """Serve other machines without authentication or TLS, as behind a proxy on a network that only it reaches."""
    tokens_file: Path = Field(default_factory=lambda values: values["state_folder"].absolute() / "tokens.toml")
    """File of tokens and of admitted certificates, which `gateway token` writes; read again when it changes."""
    path_tokens: bool = False
    """Accept tokens of kind path in URLs (/t/TOKEN/...), for viewers that cannot send headers."""
    oidc_issuer: str = ""
    """URL of the OpenID Connect issuer, to the letter as its metadata have it."""
    oidc_audience: str = ""
    """Audience that access tokens must be for: this gateway's name at the issuer."""
    oidc_ca_file: Path | None = None
    """PEM file with the authorities to trust for the issuer's certificate; by default those of the system."""
    oidc_subject_claim: str = "sub"
    """Claim with the name of the caller, the owner of what it makes; dots lead into objects."""
    oidc_tenant_claim: str = ""
    """Claim with the tenant; tokens without it are refused. By default all callers are of the tenant default."""
    oidc_roles_claim: str = "roles"
    """Claim with the roles, such as realm_access.roles for Keycloak."""
    oidc_roles: str = ""
    """The issuer's names of roles, such as radiology=annotator,it=admin; others count for nothing. By default ours."""
    proxy_names: str = ""
    """Names in the certificates of proxies whose identity headers are believed, with commas."""
    proxy_subject_header: str = "x-sixpoint-subject"
    """Header in which a proxy says who calls."""
    proxy_tenant_header: str = "x-sixpoint-tenant"
    """Header in which a proxy says of which tenant the caller is; without it, of the tenant default."""
    proxy_roles_header: str = "x-sixpoint-roles"
    """Header in which a proxy says which roles the caller has, with commas."""

    audit: bool = Field(default_factory=lambda values: values.get("auth", "none") != "none")
    """Whether the audit log is written: who did what. By default it is, where SIXPOINT_AUTH is not none."""
    audit_seconds: float = Field(default=0.0, ge=0)
    """Seconds after which entries of the audit log are removed; 0 to keep them for ever."""

    @property
    def auth_methods(self) -> frozenset[Method]:
        """Methods of authentication."""
        return frozenset(_METHODS[name] for name in _names(self.auth))

    @property
    def oidc_role_names(self) -> dict[str, Role]:
        """Roles by the issuer's names for them."""
        return {name.strip(): _ROLES[role.strip()] for name, _, role in self._role_pairs()}

    @property
    def proxies(self) -> frozenset[str]:
        """Names in the certificates of proxies."""
        return frozenset(_names(self.proxy_names))

    @field_validator("proxy_subject_header", "proxy_tenant_header", "proxy_roles_header")
    @classmethod
    def _lower_case(cls, header: str) -> str:
        return header.lower()

    @model_validator(mode="after")
    def _identity_is_whole(self) -> Self:
        names = _names(self.auth)
        if not names or not set(names) <= _METHODS.keys():
            raise ValueError(f"SIXPOINT_AUTH is one of {', '.join(_METHODS)}, or several with commas")
        if "none" in names and len(set(names)) > 1:
            raise ValueError("SIXPOINT_AUTH=none believes everybody, so that other methods beside it mean nothing")
        if "oidc" in names and not (self.oidc_issuer and self.oidc_audience):
            raise ValueError("SIXPOINT_AUTH=oidc needs SIXPOINT_OIDC_ISSUER and SIXPOINT_OIDC_AUDIENCE")
        if {"mtls", "proxy"} & set(names) and not self.tls_client_ca_file:
            raise ValueError("SIXPOINT_AUTH=mtls and proxy need SIXPOINT_TLS_CLIENT_CA_FILE")
        if "proxy" in names and not self.proxies:
            raise ValueError("SIXPOINT_AUTH=proxy needs SIXPOINT_PROXY_NAMES")
        if self.path_tokens and "tokens" not in names:
            raise ValueError("SIXPOINT_PATH_TOKENS needs SIXPOINT_AUTH=tokens")
        if not all(name.strip() and role.strip() in _ROLES for name, _, role in self._role_pairs()):
            raise ValueError(
                f"SIXPOINT_OIDC_ROLES has pairs such as radiology=annotator, with commas; roles are {', '.join(_ROLES)}"
            )
        return self

    def _role_pairs(self) -> list[tuple[str, str, str]]:
        # Names of groups may have equals signs.
        return [pair.rpartition("=") for pair in _names(self.oidc_roles)]


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
