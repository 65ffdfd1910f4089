from benchmarks.images.examples import Example
from benchmarks.throughput import figures, measure
from gateway.triton.local.server import LocalTriton


async def test_sessions_prompt_together(address: str, triton: LocalTriton, phantom: Example) -> None:
    found = await measure(
        phantom, server=address, triton=triton.address, model="ellipsoid", sessions=4, rounds=1, idle=5
    )
    assert found.failed == 0
    assert found.gateway_per_second > 0
    assert found.ratio == found.gateway_per_second / found.triton_per_second
    assert found.gateway_p95 >= found.gateway_p50 > 0
    assert found.mib_before is not None
    assert found.idle_kib is not None
    whats = [one.name for one in figures(found)]
    assert "4 sessions at once: throughput, of Triton's alone" in whats
    assert "the gateway's memory per idle session, of 5" in whats
