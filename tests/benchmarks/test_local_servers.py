from pathlib import Path

import pytest

from benchmarks.servers.local_servers import running
from benchmarks.servers.processes import servers
from sixpoint.client import Client
from sixpoint.errors import Unavailable
from tests.support.paths import TRITON_ENVIRONMENT


@pytest.mark.skipif(not TRITON_ENVIRONMENT.is_dir(), reason="Triton is not installed: make triton")
@pytest.mark.triton
def test_a_gateway_and_its_triton_run_and_end() -> None:
    with running() as found:
        with Client(found.gateway) as client:
            assert [model.name for model in client.models()] == ["annotation"]
        gateway, triton = servers(found.gateway, children=False), servers(found.triton)
        assert len(gateway) == 1
        assert gateway[0].pid not in {one.pid for one in triton}
        assert triton
    assert not any(one.is_running() for one in [*gateway, *triton])


def test_why_it_did_not_start_is_said(tmp_path: Path) -> None:
    with (
        pytest.raises(Unavailable, match=r"(?s)the gateway ended while starting: .*error: no Triton in"),
        running(environment=tmp_path),
    ):
        pass
