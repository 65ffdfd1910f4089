"""A caller that puts data of a patient wherever a call can have text."""

from __future__ import annotations

import contextlib
import socket
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any

import grpc
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from sixpoint import v1

__all__ = ["PLANTED", "plant", "plant_in_http", "plant_on_wire", "traces_of_patient"]

PLANTED = (
    "Erika Mustermann",
    "MUSTERMANN^ERIKA^^",
    "1957-08-12",
    "19570812",
    "1.2.826.0.1.3680043.8.498.71",
    "/data/patients/mustermann_erika/ct.nii.gz",
)
"""Names, dates of birth, a UID and a path of a patient."""

_MARKS = ("mustermann", "1957-08-12", "19570812", "1.2.826.0.1.3680043", "data/patients", "data%2fpatients")
_MODULES = (v1.annotation_service_pb2, v1.image_service_pb2, v1.model_service_pb2, v1.session_service_pb2)
_TIMEOUT_S = 20

_Metadata = tuple[tuple[str, str | bytes], ...]


def traces_of_patient(text: str) -> list[str]:
    """The lines of a text that have something of the patient."""
    return [line for line in text.splitlines() if any(mark in line.lower() for mark in _MARKS)]


def plant(address: str, text: str) -> int:
    """Call every method with a text in all fields, in metadata and in the names of services; return the refusals."""
    refused = 0
    options = (("grpc.primary_user_agent", text),)
    with grpc.insecure_channel(address, options=options) as channel:
        for metadata in _metadata(text):
            for method, request in _calls(text):
                refused += _is_refused(channel, method, request, metadata)
            refused += _is_refused(channel, f"/sixpoint.v1.ModelService/{text}", text.encode(), ())
            refused += _is_refused(channel, f"/{text}/Get", b"", metadata)
        with contextlib.suppress(grpc.RpcError):
            health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=text), timeout=_TIMEOUT_S)
        asked = reflection_pb2.ServerReflectionRequest(host=text, file_containing_symbol=text)
        with contextlib.suppress(grpc.RpcError):
            stub = reflection_pb2_grpc.ServerReflectionStub(channel)
            list(stub.ServerReflectionInfo(iter([asked]), timeout=_TIMEOUT_S))
    return refused


def plant_in_http(address: str, text: str) -> None:
    """Ask the status port for a text, with the text in the query and in headers."""
    quoted = urllib.parse.quote(text, safe="")
    for path in (f"/{quoted}", f"/t/{quoted}/metrics", f"/metrics?name={quoted}", f"/readyz?{quoted}={quoted}"):
        headers = {"X-Patient": text, "Accept": text, "User-Agent": text, "Authorization": f"Bearer {text}"}
        request = urllib.request.Request(f"http://{address}{path}", headers=headers)
        with contextlib.suppress(urllib.error.HTTPError):
            urllib.request.urlopen(request, timeout=_TIMEOUT_S).close()


def plant_on_wire(port: int, text: str) -> None:
    """Send a text as no protocol has it."""
    for data in (text.encode(), f"GET /{text} HTTP/1.1\r\n{text}: {text}\r\n\r\n".encode()):
        with socket.create_connection(("127.0.0.1", port), timeout=_TIMEOUT_S) as connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            with contextlib.suppress(ConnectionError):
                connection.recv(1000)


def _metadata(text: str) -> Iterator[_Metadata]:
    yield (("sixpoint-owner", text),)
    yield (("sixpoint-owner-bin", text.encode()), ("x-patient", text), ("baggage", f"patient={text}"))
    yield (("authorization", f"Bearer {text}"), ("traceparent", text), ("tracestate", f"patient={text}"))
    # Refused: too long, and given twice.
    yield (("sixpoint-owner", text), ("sixpoint-owner", text))
    yield (("sixpoint-owner", text * 20),)


def _calls(text: str) -> Iterator[tuple[str, bytes]]:
    for module in _MODULES:
        for service in module.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                request = _filled(method.input_type, text)
                yield f"/{service.full_name}/{method.name}", request.SerializeToString()


def _filled(descriptor: Descriptor, text: str) -> Message:
    """A message with a text in all fields that can have it, and one in each list."""
    message = GetMessageClass(descriptor)()
    for field in descriptor.fields:
        value: object = None
        if field.type == FieldDescriptor.TYPE_STRING:
            value = text
        elif field.type == FieldDescriptor.TYPE_BYTES:
            value = text.encode()
        elif field.message_type is not None:
            value = _filled(field.message_type, text)
        elif field.type == FieldDescriptor.TYPE_UINT32:
            value = 1
        if value is None:
            continue
        if field.is_repeated:
            getattr(message, field.name).append(value)
        elif isinstance(value, Message):
            getattr(message, field.name).CopyFrom(value)
        else:
            setattr(message, field.name, value)
    return message


def _is_refused(channel: grpc.Channel, method: str, request: bytes, metadata: _Metadata) -> bool:
    # A stream of one message is on the wire what a single one is.
    call: Any = channel.stream_stream(method)
    try:
        list(call(iter([request]), metadata=metadata, timeout=_TIMEOUT_S))
    except grpc.RpcError:
        return True
    return False
