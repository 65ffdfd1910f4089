"""The gateway's life: health that follows Triton, models that come and go, a port that is taken, an ordered end."""

from __future__ import annotations

import asyncio
import queue
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

import sixpoint
from gateway.grpc import server
from gateway.server import Gateway
from gateway.settings import Settings
from gateway.triton.client import TritonClient
from gateway.triton.local.server import LocalTriton
from sixpoint import errors
from sixpoint.client._transport.channel import CHANNEL_OPTIONS
from sixpoint.io.triton_key import control_metadata
from sixpoint.v1 import annotation_service_pb2 as annotation_pb
from sixpoint.v1 import annotation_service_pb2_grpc as annotation_grpc
from tests.gateway.prompts import SIX
from tests.support.images import noisy_volume
from tests.support.models import ELLIPSOID_SPEC, write_config, write_ellipsoid_model
from tests.support.paths import TRITON_ENVIRONMENT
from tests.support.ports import free_port
from tests.support.proxies import Silencer
from tests.support.servers import running_gateway, running_triton

SERVING, AWAY = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
ANNOTATION, IMAGES = "sixpoint.v1.AnnotationService", "sixpoint.v1.ImageService"


def health(port: int, service: str = "") -> int:
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        response = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=service))
        return int(response.status)


def eventually(condition: Callable[[], bool], seconds: float = 20.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    if not TRITON_ENVIRONMENT.is_dir():
        pytest.skip("Triton is not installed: make triton")
    write_ellipsoid_model(tmp_path / "repository" / "ellipsoid")
    return tmp_path / "repository"


@pytest.mark.triton
def test_a_session_outlives_a_triton_that_stops_and_starts_again(repository: Path) -> None:
    port = free_port()
    with running_gateway(ready=False, triton_url=f"127.0.0.1:{port}") as gateway:
        assert health(gateway.port) == AWAY
        assert health(gateway.port, IMAGES) == SERVING
        with sixpoint.Client(f"127.0.0.1:{gateway.port}", retry=sixpoint.Retry(attempts=2)) as client:
            with pytest.raises(errors.TritonUnavailable):
                client.models()
            with running_triton(repository, port=port):
                assert eventually(lambda: health(gateway.port, ANNOTATION) == SERVING)
                assert health(gateway.port) == SERVING
                session = client.open_session(noisy_volume(), model="ellipsoid")
                before = session.annotate(SIX)
            # Triton is stopped in the middle of the session.
            with pytest.raises(errors.TritonUnavailable) as caught:
                session.annotate(SIX)
            assert caught.value.retry_after
            assert eventually(lambda: health(gateway.port) == AWAY)
            assert health(gateway.port, IMAGES) == SERVING
            with running_triton(repository, port=port):
                assert eventually(lambda: health(gateway.port) == SERVING)
                after = session.annotate(SIX)
    assert np.array_equal(before.array, after.array)
    assert (before.revision, after.revision) == (1, 2)


@pytest.mark.triton
def test_models_come_and_go_and_bad_ones_are_refused(repository: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def control(address: str, call: str, name: str) -> None:
        from tritonclient.grpc import service_pb2

        async with TritonClient(address) as triton:
            request = getattr(service_pb2, f"RepositoryModel{call}Request")(model_name=name)
            await getattr(triton._stub, f"RepositoryModel{call}")(request, metadata=control_metadata(address))

    with running_triton(repository) as triton, running_gateway(triton_url=triton.address) as gateway:
        address = f"127.0.0.1:{gateway.port}"
        with sixpoint.Client(address) as client:
            assert [model.name for model in client.models()] == ["ellipsoid"]
            write_ellipsoid_model(repository / "second")
            write_ellipsoid_model(repository / "foreign")
            write_config(repository / "foreign", backend="onnxruntime", spec=ELLIPSOID_SPEC, with_spec=False)
            write_ellipsoid_model(repository / "liar")
            lie = ELLIPSOID_SPEC.model_copy(
                update={"output": ELLIPSOID_SPEC.output.model_copy(update={"dtype": "FP16"})}
            )
            _replace_spec(repository / "liar", lie.to_json())
            for name in ("second", "foreign", "liar"):
                asyncio.run(control(triton.address, "Load", name))
            assert eventually(lambda: {model.name for model in client.models()} == {"ellipsoid", "second"})
            assert eventually(lambda: any("its spec promises" in record.getMessage() for record in caplog.records))
            time.sleep(0.3)
            assert {model.name for model in client.models()} == {"ellipsoid", "second"}
            # A new version takes over without a restart.
            shutil.copytree(repository / "second" / "1", repository / "second" / "2")
            asyncio.run(control(triton.address, "Load", "second"))
            assert eventually(lambda: {m.name: m.version for m in client.models()}["second"] == "2")
            with client.open_session(noisy_volume(), model="second") as session:
                assert session.annotate(SIX).model_version == "2"
                asyncio.run(control(triton.address, "Unload", "second"))
                assert eventually(lambda: [model.name for model in client.models()] == ["ellipsoid"])
                with pytest.raises(errors.ModelNotFound, match="ellipsoid"):
                    session.annotate(SIX)


def _replace_spec(folder: Path, spec: str) -> None:
    from google.protobuf import text_format
    from tritonclient.grpc import model_config_pb2

    config = text_format.Parse((folder / "config.pbtxt").read_text(), model_config_pb2.ModelConfig())
    config.parameters["sixpoint"].string_value = spec
    (folder / "config.pbtxt").write_text(text_format.MessageToString(config))


def test_a_taken_port_is_named_with_the_variable_that_changes_it(gateway: Gateway) -> None:
    with (
        pytest.raises(errors.Unavailable, match=rf"127.0.0.1:{gateway.port}.*SIXPOINT_PORT") as caught,
        running_gateway(ready=False, port=gateway.port),
    ):
        pass
    assert "taken" in caught.value.message


def test_too_many_sessions_and_too_large_images_are_refused(triton: LocalTriton) -> None:
    with (
        running_gateway(triton_url=triton.address, max_sessions=1, max_image_bytes=100_000) as own,
        sixpoint.Client(f"127.0.0.1:{own.port}") as client,
    ):
        with client.open_session(noisy_volume(), model="ellipsoid"):
            with pytest.raises(errors.ResourceExhausted, match="SIXPOINT_MAX_SESSIONS") as caught:
                client.open_session(noisy_volume(), model="ellipsoid")
            assert caught.value.retry_after
        with pytest.raises(errors.ResourceExhausted, match="SIXPOINT_MAX_IMAGE_BYTES"):
            client.upload(noisy_volume((64, 64, 64)))


def test_an_idle_session_expires(triton: LocalTriton) -> None:
    with (
        running_gateway(triton_url=triton.address, session_idle_seconds=0.2) as own,
        sixpoint.Client(f"127.0.0.1:{own.port}") as client,
    ):
        session = client.open_session(noisy_volume(), model="ellipsoid")
        time.sleep(0.3)
        with pytest.raises(errors.SessionExpired):
            session.annotate(SIX)


def test_reflection_names_the_services(gateway: Gateway, triton: LocalTriton) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{gateway.port}") as channel:
        assert ANNOTATION in ProtoReflectionDescriptorDatabase(channel).get_services()
    with (
        running_gateway(triton_url=triton.address, reflection=False) as own,
        grpc.insecure_channel(f"127.0.0.1:{own.port}") as channel,
        pytest.raises(grpc.RpcError),
    ):
        ProtoReflectionDescriptorDatabase(channel).get_services()


@pytest.mark.parametrize(
    ("host", "reflects"),
    [
        ("127.0.0.1", True),
        ("localhost", True),
        ("[::1]", True),
        ("unix:/run/gateway.sock", True),
        ("0.0.0.0", False),
        ("::", False),
        ("gpu1", False),
    ],
)
def test_reflection_is_for_this_machine_unless_it_is_asked_for(host: str, reflects: bool) -> None:
    assert Settings(host=host).reflects is reflects
    assert Settings(host=host, reflection=True).reflects
    assert not Settings(host=host, reflection=False).reflects


def test_sigterm_drains_health_first_and_running_calls_finish(triton: LocalTriton, tmp_path: Path) -> None:
    port = free_port()
    environment = {
        "SIXPOINT_PORT": str(port),
        "SIXPOINT_TRITON_URL": triton.address,
        "SIXPOINT_STATE_FOLDER": str(tmp_path),
        "SIXPOINT_DRAIN_NOTICE_SECONDS": "1",
        "PATH": "/usr/bin:/bin",
    }
    process = subprocess.Popen([sys.executable, "-m", "gateway", "serve"], env=environment, stderr=subprocess.PIPE)
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel, sixpoint.Client(f"127.0.0.1:{port}") as client:
            grpc.channel_ready_future(channel).result(30)
            assert eventually(lambda: health(port) == SERVING)
            watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
            seen = [next(watch).status]
            with client.open_session(noisy_volume(), model="slow") as session:
                answers: list[sixpoint.Mask] = []

                async def interrupted() -> None:
                    answer = asyncio.create_task(asyncio.to_thread(lambda: answers.append(session.annotate(SIX))))
                    await asyncio.sleep(0.7)
                    process.send_signal(signal.SIGTERM)
                    await answer

                asyncio.run(interrupted())
            seen.append(next(watch).status)
        assert seen == [SERVING, AWAY]
        assert answers[0].array.any()
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()


def test_settings_come_from_the_environment_and_wrong_ones_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIXPOINT_PORT", "50060")
    assert Settings().port == 50060
    monkeypatch.setenv("SIXPOINT_PORT", "many")
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "serve"], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 1
    assert "SIXPOINT_PORT" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_variable_that_is_set_to_nothing_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TLS_CERT_FILE", "TLS_KEY_FILE", "TLS_CLIENT_CA_FILE", "STATUS_PORT", "STATE_FOLDER", "DATABASE_URL"):
        monkeypatch.setenv(f"SIXPOINT_{name}", "")
    settings = Settings()
    assert (settings.tls_cert_file, settings.tls_client_ca_file, settings.status_port) == (None, None, None)
    assert settings.state_folder.name == "state"
    assert settings.database_url.get_secret_value().endswith("state/sixpoint.db")


def test_a_viewer_who_sends_nothing_for_long_is_not_thrown_out_for_the_pings(monkeypatch: pytest.MonkeyPatch) -> None:
    # Both sides' times 30 times as short.
    monkeypatch.setattr("gateway.grpc.server._PING_MS", server._PING_MS // 30)
    options = [(name, value // 30 if name == "grpc.keepalive_time_ms" else value) for name, value in CHANNEL_OPTIONS]
    requests: queue.SimpleQueue[annotation_pb.InteractRequest | None] = queue.SimpleQueue()
    with running_gateway(ready=False, triton_url=f"127.0.0.1:{free_port()}") as running:
        proxy = Silencer(f"127.0.0.1:{running.port}", pings=6)
        with grpc.insecure_channel(proxy.address, options=options) as channel:
            call = annotation_grpc.AnnotationServiceStub(channel).Interact(iter(requests.get, None))
            assert proxy.pinged.wait(30), "gRPC forgives three"
            requests.put(annotation_pb.InteractRequest(id=1, get_mask=annotation_pb.GetMaskRequest(session_id="none")))
            requests.put(None)
            assert [event.id for event in call if event.HasField("failure")] == [1]
        proxy.close()
