"""A gateway with an HTTP port."""

from tests.gateway.http.conftest import http_gateway, site

__all__ = ["http_gateway", "site"]
