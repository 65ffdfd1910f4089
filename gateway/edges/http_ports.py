"""The gateway's ports for viewers that speak HTTP: the doors, over the same core as gRPC."""

from __future__ import annotations

import contextlib
import math
from collections.abc import AsyncIterator
from typing import Any

from gateway.authentication import check_http_exposure
from gateway.core.access import Authenticator
from gateway.edges.doors import make_doors
from gateway.edges.services import Services
from gateway.from_settings import call_deadlines, pacs_access
from gateway.http.app import http_app
from gateway.http.calls import CallRunner
from gateway.http.dicomweb import Pacs, open_pacs
from gateway.http.listener import PortLimits, listening
from gateway.http.origins import OriginPolicy
from gateway.http.requests.observation import CallObserver
from gateway.http.requests.spool import Spool
from gateway.http.tls import HttpsContext
from gateway.settings import Settings

__all__ = ["http_ports"]


@contextlib.asynccontextmanager
async def http_ports(
    settings: Settings,
    services: Services,
    *,
    authenticator: Authenticator,
    observer: CallObserver,
) -> AsyncIterator[dict[str, int]]:
    """Listen on the ports that the settings name, within the context; yields their numbers by name.

    Args:
        settings: Settings of the gateway.
        services: What the doors call.
        authenticator: Turns credentials into principals.
        observer: Observes calls.

    Raises:
        InvalidArgument: Other machines would reach a port without TLS, or the certificate cannot be used.
        Unavailable: A port is taken.
        StorageUnavailable: The folder of running calls cannot be created.
    """
    ports: dict[str, int] = {}
    async with contextlib.AsyncExitStack() as stack:
        if settings.http_port is not None or settings.https_port is not None:
            if settings.http_port is not None:
                check_http_exposure(host=settings.host, insecure=settings.insecure)
            spool = Spool(settings.cache_folder / "http", limit=max(settings.unfinished_upload_bytes, 2**30))
            await spool.start()
            pacs = await stack.enter_async_context(open_pacs(pacs_access(settings)))
            app = _application(settings, services, spool, pacs, authenticator, observer)
            limits = PortLimits(
                connections=settings.max_connections,
                idle=math.ceil(min(settings.connection_idle_seconds, 60.0)),
                drain=math.ceil(settings.drain_seconds),
            )
            for name, port, tls in (
                ("http", settings.http_port, None),
                ("https", settings.https_port, _https(settings)),
            ):
                if port is not None:
                    setting = f"SIXPOINT_{name.upper()}_PORT"
                    port = await stack.enter_async_context(
                        listening(app, host=settings.host, port=port, setting=setting, limits=limits, tls=tls)
                    )
                    ports[name] = port
        yield ports


def _https(settings: Settings) -> HttpsContext | None:
    if settings.https_port is None or not settings.tls_cert_file or not settings.tls_key_file:
        return None
    return HttpsContext(settings.tls_cert_file, settings.tls_key_file, client_authority=settings.tls_client_ca_file)


def _application(
    settings: Settings,
    services: Services,
    spool: Spool,
    pacs: Pacs | None,
    authenticator: Authenticator,
    observer: CallObserver,
) -> Any:
    deadlines = call_deadlines(settings)
    doors = make_doors(settings, services, spool, pacs, authenticator=authenticator)
    runner = CallRunner(
        authenticator=authenticator,
        origins=OriginPolicy(settings.web_origins, loopback=settings.listens_on_loopback and not settings.insecure),
        limits=services.limits,
        auditor=services.auditor,
        turns=services.turns,
        transfers=services.transfers,
        idle=settings.upload_idle_seconds,
        observer=observer,
    )
    return http_app(
        doors,
        runner=runner,
        authenticator=authenticator,
        auditor=services.auditor,
        origins=settings.web_origins,
        catalog=services.catalog,
        deadlines=deadlines.call,
        transfers=services.transfers,
    )
