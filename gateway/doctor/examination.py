"""All checks, in their order."""

from __future__ import annotations

from collections.abc import AsyncIterator

from gateway.doctor.configuration import check_settings
from gateway.doctor.files import check_files
from gateway.doctor.identity import check_identity
from gateway.doctor.machine import check_machine
from gateway.doctor.ports import check_ports
from gateway.doctor.stores import check_stores
from gateway.doctor.traces import check_traces
from gateway.doctor.tritons import check_local_triton, check_tritons
from gateway.doctor.viewers import check_viewers
from gateway.settings import Settings
from sixpoint.cli.doctor.connection import Finding
from sixpoint.errors import FailedPrecondition
from sixpoint.preprocessing import _native

__all__ = ["examine"]

_CHECKS = (
    check_settings,
    check_identity,
    check_ports,
    check_files,
    check_stores,
    check_machine,
    check_traces,
    check_viewers,
)


async def examine(settings: Settings, *, local_triton: bool = False) -> AsyncIterator[Finding]:
    """Check what a gateway with these settings needs. One problem does not hide the others.

    Nothing is changed, but for an object that is written to an object store and removed at once.

    Args:
        settings: Settings of the gateway.
        local_triton: Whether the gateway would start Triton itself.
    """
    try:
        _native.require_kernels()
    except FailedPrecondition as error:
        yield Finding("installation", False, error.message, "The gateway does not start without it.")
    for check in _CHECKS:
        for finding in check(settings):
            yield finding
    if local_triton:
        yield check_local_triton(settings)
        return
    async for finding in check_tritons(settings):
        yield finding
