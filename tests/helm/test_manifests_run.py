"""The manifests run: what they say is started with the real programs, probed, prompted and stopped as they say."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from pathlib import Path

import grpc
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from sixpoint.cli.doctor import examine_http
from tests.helm.support.charts import CHART, merged, pods, read_values, render
from tests.helm.support.local_pods import LocalPods, loopback_network
from tests.support.certificates import write_certificates
from tests.support.paths import TRITON_ENVIRONMENT

pytestmark = [pytest.mark.triton, pytest.mark.slow]

VALUES = {
    "gateway": {"drain": {"noticeSeconds": 1, "seconds": 5}, "settings": {"workers": 2}},
    "triton": {"controlKey": {"existingSecret": "sixpoint-triton"}, "drain": {"seconds": 5}},
    "auth": {"mode": "tokens", "tokens": {"existingSecret": "sixpoint-tokens"}},
    "tls": {"mode": "secret", "secretName": "sixpoint-tls"},
    "viewers": {"enabled": True, "pathTokens": True},
    "test": {"token": {"existingSecret": "sixpoint-test-token"}},
}


def new_token(file: Path, name: str = "helm-test", *options: str) -> str:
    """A token of an annotator, as an operator makes it."""
    command = [sys.executable, "-m", "gateway", "token", "new", name, "--file", str(file), "--json", *options]
    return str(json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)["token"])


def test_what_the_manifests_say_answers_a_prompt_and_drains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not TRITON_ENVIRONMENT.is_dir():
        pytest.skip("Triton is not installed: make triton")
    token = new_token(tmp_path / "tokens.toml")
    viewers_token = new_token(tmp_path / "tokens.toml", "viewer", "--path")
    documents = render(merged(read_values(CHART / "ci" / "minimal-values.yaml"), VALUES))
    address = f"{loopback_network()}.1"
    files = write_certificates(tmp_path / "certificates", address)
    secrets = {
        "sixpoint-triton": {"key": "0123456789abcdef"},
        "sixpoint-tokens": {"tokens": (tmp_path / "tokens.toml").read_text()},
        "sixpoint-tls": {
            "tls.crt": files.certificate.read_text(),
            "tls.key": files.key.read_text(),
            "ca.crt": files.authority.read_text(),
        },
        "sixpoint-test-token": {"token": token},
    }
    local = LocalPods(documents, tmp_path / "pods", secrets=secrets, address=address)
    by_component = {pod.labels["app.kubernetes.io/component"]: pod for pod in pods(documents)}
    triton, gateway, test = (by_component[name] for name in ("triton", "gateway", "test"))

    copied = local.run(triton, triton.spec["initContainers"][0])
    assert copied.returncode == 0, copied.stderr
    with local.running(triton) as triton_process:
        with local.running(gateway) as gateway_process:
            local.wait_for(triton, "startupProbe")
            assert_models_are_guarded(f"{address}:8001")
            local.wait_for(gateway, "startupProbe")
            local.wait_for(gateway, "readinessProbe")
            assert "nv_inference_pending_request_count" in metrics(f"{address}:8002")
            assert "sixpoint_model_served" in metrics(f"{address}:9090")
            assert local.ask(triton, "livenessProbe")
            assert local.ask(triton, "readinessProbe")
            asked = local.run(test, test.spec["containers"][0])
            assert asked.returncode == 0, asked.stdout + asked.stderr + local.log(gateway)
            assert "Dice" in asked.stdout
            monkeypatch.setenv("SIXPOINT_CA_FILE", str(files.authority))
            findings = list(examine_http(f"https://{address}:8443/t/{viewers_token}"))
            assert [finding for finding in findings if not finding.well] == []
            assert any("annotation" in finding.seen for finding in findings if finding.what == "door itksnap")
            gateway_process.terminate()
            # The Service drops the pod while it still answers.
            local.wait_for(gateway, "readinessProbe", answer=False)
        assert gateway_process.returncode == 0, local.log(gateway)
    assert triton_process.returncode == 0, local.log(triton)
    assert token not in local.log(gateway)
    assert viewers_token not in local.log(gateway)


def metrics(address: str) -> str:
    """What Prometheus would scrape there."""
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
        return str(answer.read().decode())


def assert_models_are_guarded(address: str) -> None:
    """Whoever has no key cannot ask Triton to load a model."""
    with grpc.insecure_channel(address) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        with pytest.raises(grpc.RpcError, match="restricted"):
            stub.RepositoryModelLoad(service_pb2.RepositoryModelLoadRequest(model_name="annotation"), timeout=5)
