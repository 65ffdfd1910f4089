"""The HTTP routes for operators: /livez, /readyz and /metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

__all__ = ["status_app"]


def status_app(*, metrics: Callable[[str], tuple[bytes, str]], parts: Callable[[], Mapping[str, bool]]) -> FastAPI:
    """Build the application.

    - ``/livez``: 200 while the process answers.
    - ``/readyz``: 200 if prompts can be answered, else 503; the body names each part that prompts need.
    - ``/metrics``: metrics for Prometheus.

    Args:
        metrics: Function that returns the metrics and their media type, for the header Accept.
        parts: Function that returns, for each part that prompts need, whether it can be used now.
    """
    app = FastAPI(title="sixpoint gateway", openapi_url=None)

    @app.api_route("/livez", methods=["GET", "HEAD"])
    async def live() -> JSONResponse:
        return JSONResponse({"live": True})

    @app.api_route("/readyz", methods=["GET", "HEAD"])
    async def ready() -> JSONResponse:
        states = dict(parts())
        well = all(states.values())
        return JSONResponse({"ready": well, "parts": states}, status_code=200 if well else 503)

    @app.api_route("/metrics", methods=["GET", "HEAD"])
    async def read_metrics(request: Request) -> Response:
        content, media_type = metrics(request.headers.get("accept", ""))
        return Response(content, headers={"content-type": media_type})

    return app
