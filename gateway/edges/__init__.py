"""What the edges share, and the ports of HTTP."""

from gateway.edges.http_ports import http_ports
from gateway.edges.services import Services, Workers, make_services

__all__ = ["Services", "Workers", "http_ports", "make_services"]
