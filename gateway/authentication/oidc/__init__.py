"""Access tokens of an OpenID Connect issuer: its documents, its keys, and the claims of its tokens."""

from gateway.authentication.oidc.access_tokens import AccessTokens, OidcMethod
from gateway.authentication.oidc.documents import IssuerDocuments
from gateway.authentication.oidc.keys import IssuerKeys

__all__ = ["AccessTokens", "IssuerDocuments", "IssuerKeys", "OidcMethod"]
