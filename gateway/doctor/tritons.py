"""Checks of the Tritons: reached, which models they serve, and why not others."""

from __future__ import annotations

from collections.abc import AsyncIterator

from gateway.settings import Settings
from gateway.triton.client import TritonClient
from gateway.triton.local.install import TritonEnvironment
from sixpoint.cli.doctor.connection import Finding
from sixpoint.errors import FailedPrecondition, ModelSpecError, SixpointError, TritonUnavailable, Unavailable
from sixpoint.protocol.triton_addresses import TritonName, parse_triton_addresses, resolve

__all__ = ["check_local_triton", "check_tritons"]


async def check_tritons(settings: Settings) -> AsyncIterator[Finding]:
    """Ask each Triton for its models."""
    for place in parse_triton_addresses(settings.triton_url):
        if not isinstance(place, TritonName):
            async for finding in _check_triton(settings, place, server_name=""):
                yield finding
            continue
        try:
            addresses = await resolve(place)
        except TritonUnavailable as error:
            yield Finding("Triton", False, error.message, "Check SIXPOINT_TRITON_URL, or your network's DNS.")
            continue
        for address in addresses:
            async for finding in _check_triton(settings, address, server_name=place.host if place.tls else ""):
                yield finding


def check_local_triton(settings: Settings) -> Finding:
    """Check what a Triton on this machine needs, before it is started."""
    what = "local Triton"
    local = settings.local_triton()
    try:
        TritonEnvironment.locate(local.environment)
    except FailedPrecondition as error:
        return Finding(what, False, error.message, "Or name another folder with SIXPOINT_TRITON_ENVIRONMENT.")
    if settings.serves_copy and not local.model_repository.exists():
        seen = f"installed in {local.environment}; the shipped models are copied at the first start"
        return Finding(what, True, seen)
    try:
        local.check()
    except (FailedPrecondition, Unavailable) as error:
        return Finding(what, False, error.message, "If it is the running gateway's own Triton, all is well.")
    return Finding(what, True, f"installed in {local.environment}; its ports are free")


async def _check_triton(settings: Settings, address: str, *, server_name: str) -> AsyncIterator[Finding]:
    what = f"Triton {address}"
    key = settings.triton_key.get_secret_value()
    try:
        client = TritonClient(address, shared_memory=False, key=key, tls=settings.triton_tls, server_name=server_name)
    except SixpointError as error:
        yield Finding(what, False, error.message, "Correct the variable.")
        return
    async with client:
        try:
            served = await client.versions()
            failed = await client.failures()
        except TritonUnavailable as error:
            advice = "Look whether it runs, at its log, and at SIXPOINT_TRITON_URL. 8001 is the usual port."
            yield Finding(what, False, error.message, advice)
            return
        models = [finding async for finding in _check_models(client, served)]
    usable = [finding for finding in models if finding.well]
    names = ", ".join(finding.seen for finding in usable)
    if usable:
        yield Finding(what, True, f"reached; serves {names}")
    else:
        advice = "Export a model into its repository: `exporter export CHECKPOINT`."
        yield Finding(what, False, "reached, but it serves no model for sixpoint", advice)
    for finding in models:
        if not finding.well:
            yield finding
    for name, reason in failed.items():
        yield Finding(f"model {name}", False, f"Triton cannot load it: {reason}", "Look at Triton's log.")


async def _check_models(client: TritonClient, served: dict[str, tuple[str, ...]]) -> AsyncIterator[Finding]:
    """For each model that is ready, its name and version, or why it cannot be used."""
    for name, versions in served.items():
        what = f"model {name}"
        try:
            model = await client.describe(name, versions)
        except ModelSpecError as error:
            yield Finding(what, False, error.message, "Check it: `exporter validate`.")
        except TritonUnavailable as error:
            yield Finding(what, False, error.message, "Try again: it may just be loading.")
        else:
            if model is None:
                advice = "The gateway ignores it. Export it with `exporter export` if it is meant for sixpoint."
                yield Finding(what, False, "its config has no ModelSpec, or no version but the candidate", advice)
            else:
                yield Finding(what, True, f"{name} {model.version}")
