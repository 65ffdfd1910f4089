"""What the client of Triton reads of its models."""

from __future__ import annotations

from gateway.triton.client import TritonClient
from gateway.triton.local.server import LocalTriton


async def test_each_instance_gets_a_call_that_runs_and_one_that_is_next(triton: LocalTriton) -> None:
    async with TritonClient(triton.address) as client:
        versions = await client.versions()
        models = [await client.describe(name, versions[name]) for name in ("annotation", "segmentation_hippocampus")]
    assert [model and model.in_flight for model in models] == [2, 4], "one instance, and two, on the CPU"
