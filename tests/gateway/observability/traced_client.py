"""A program that traces: annotates a phantom's liver within a span of its own. Arguments: gateway, collector."""

from __future__ import annotations

import asyncio
import sys

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

import sixpoint
from sixpoint.phantom import make_phantom


def main(gateway: str, collector: str) -> None:
    provider = TracerProvider(resource=Resource.create({"service.name": "viewer"}))
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(endpoint=collector)))
    trace.set_tracer_provider(provider)
    phantom = make_phantom()
    points = sixpoint.ExtremePoints.of_mask(phantom.mask("liver"))
    with sixpoint.Client(gateway) as client, client.open_session(phantom.image, model="annotation") as session:
        with trace.get_tracer("viewer").start_as_current_span("prompt"):
            session.annotate(points)
        with trace.get_tracer("viewer").start_as_current_span("stream"), session.interact() as stream:
            stream.undo()
            stream.end()
            for _ in stream:
                pass
    asyncio.run(list_models(gateway))
    provider.shutdown()


async def list_models(gateway: str) -> None:
    async with sixpoint.AsyncClient(gateway) as client:
        with trace.get_tracer("viewer").start_as_current_span("asynchronous"):
            await client.models()


if __name__ == "__main__":
    main(*sys.argv[1:])
