"""Publishing to several Tritons of one repository: all serve the same, also when one dies in the middle."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections import Counter
from collections.abc import Iterator

import pytest

import sixpoint
from exporter.publishing.prepared import PreparedModel
from exporter.publishing.publish import publish
from exporter.publishing.triton import Triton
from exporter.publishing.triton_endpoint import TritonEndpoint
from exporter.repository.config import ModelConfig
from exporter.repository.folder import FolderRepository
from exporter.repository.validate import validate
from gateway.triton.local.server import LocalTriton
from sixpoint.errors import FailedPrecondition, TritonUnavailable
from tests.exporter.command_line import run
from tests.exporter.publish_helpers import states
from tests.gateway.prompts import SIX
from tests.support.images import noisy_volume
from tests.support.models import write_ellipsoid_model
from tests.support.paths import TRITON_ENVIRONMENT
from tests.support.ports import free_port
from tests.support.servers import running_gateway, running_tritons, signal_triton

pytestmark = pytest.mark.triton


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> FolderRepository:
    if not TRITON_ENVIRONMENT.is_dir():
        pytest.skip("Triton is not installed: make triton")
    models = FolderRepository(tmp_path_factory.mktemp("models") / "repository")
    write_ellipsoid_model(models.folder / "resident")
    return models


@pytest.fixture(scope="module")
def tritons(models: FolderRepository) -> Iterator[list[LocalTriton]]:
    with running_tritons(models.folder, 2) as tritons:
        yield tritons


@pytest.fixture(scope="module")
def pair(models: FolderRepository, tritons: list[LocalTriton], tiny: PreparedModel) -> Iterator[Triton]:
    """Both Tritons, which serve version 1 of the model at the start and at the end of each test."""
    with Triton(",".join(triton.address for triton in tritons), timeout=30) as pair:
        publish(models, tiny, triton=pair)
        yield pair


def ready(triton: Triton) -> list[set[int]]:
    """Return the versions that each Triton serves."""
    return [
        {version for version, (state, _) in endpoint.version_states("tiny").items() if state == "READY"}
        for endpoint in triton.endpoints
    ]


@contextlib.contextmanager
def prompting(address: str) -> Iterator[tuple[Counter[str], list[Exception]]]:
    """Prompt the model through a gateway without a pause; count the answers by version, and list the failures."""
    answers: Counter[str] = Counter()
    failures: list[Exception] = []
    done = threading.Event()

    def person() -> None:
        try:
            with sixpoint.Client(address, retry=sixpoint.Retry.none()) as client:
                session = client.open_session(noisy_volume(), model="tiny")
                while not done.is_set():
                    answers[session.annotate(SIX).model_version] += 1
        except Exception as error:
            failures.append(error)

    thread = threading.Thread(target=person)
    thread.start()
    try:
        yield answers, failures
    finally:
        done.set()
        thread.join()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::sixpoint.ImplausibleImageWarning")
def test_all_tritons_serve_what_is_published_rolled_back_and_removed(
    models: FolderRepository, tritons: list[LocalTriton], pair: Triton, tiny: PreparedModel
) -> None:
    where = ("--repository", models.folder, *(part for one in tritons for part in ("--triton", one.address)))
    listed = ",".join(one.address for one in tritons)
    assert ready(pair) == [{1}, {1}]
    with running_gateway(triton_url=listed) as gateway, prompting(f"127.0.0.1:{gateway.port}") as (answers, failures):
        publish(models, tiny, triton=pair)
        assert ready(pair) == [{1, 2}] * 2
        assert run("rollback", "tiny", *where).stdout.startswith("tiny version 1 serves\n")
        assert ready(pair) == [{1}] * 2
        assert run("promote", "tiny", 2, "--share", 0.5, *where).exit_code == 0
        assert ready(pair) == [{1, 2}] * 2
        assert run("remove", "tiny", 2, "--force", "--repository", models.folder, "--triton", listed).exit_code == 0
        assert ready(pair) == [{1}] * 2
    assert failures == []
    assert min(answers["1"], answers["2"]) > 0


def test_a_version_that_one_triton_cannot_serve_is_published_to_none(
    models: FolderRepository, pair: Triton, tiny: PreparedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As if the second had no memory for the version.
    load = TritonEndpoint.load

    def refuse(endpoint: TritonEndpoint, config: ModelConfig) -> None:
        if endpoint.address == pair.endpoints[1].address and len(config.served) > 1:
            raise FailedPrecondition("Triton: out of memory")
        load(endpoint, config)

    before = states(models)
    monkeypatch.setattr(TritonEndpoint, "load", refuse)
    with pytest.raises(FailedPrecondition, match=rf"{pair.endpoints[1].address}: Triton: out of memory"):
        publish(models, tiny, triton=pair)
    assert (states(models), ready(pair)) == (before, [{1}, {1}])


@pytest.mark.slow
def test_a_triton_that_dies_in_the_middle_leaves_all_with_the_version_before(
    models: FolderRepository,
    tritons: list[LocalTriton],
    pair: Triton,
    tiny: PreparedModel,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is started again at once, as by Kubernetes, and may have read the config of the version that was undone."""
    before = states(models)
    died: list[threading.Thread] = []
    load = Triton.load

    def die_before(triton: Triton, config: ModelConfig) -> None:
        # In the last step, after all have verified the version.
        if config.candidate is None and not died:
            signal_triton(tritons[1], signal.SIGKILL)
            asyncio.run(tritons[1].stop())
            died.append(threading.Thread(target=lambda: asyncio.run(tritons[1].start())))
            died[0].start()
        load(triton, config)

    monkeypatch.setattr(Triton, "load", die_before)
    with pytest.raises(TritonUnavailable, match=f"Triton cannot be reached at {tritons[1].address}"):
        publish(models, tiny, triton=pair)
    died[0].join()
    assert (states(models), ready(pair)) == (before, [{1}, {1}])
    assert [problem for one in validate(models.folder) for problem in one.problems] == []


def test_nothing_is_written_while_a_triton_is_away(models: FolderRepository, pair: Triton, tiny: PreparedModel) -> None:
    before, away = states(models), f"127.0.0.1:{free_port()}"
    with (
        Triton(f"{pair.endpoints[0].address},{away}") as half_away,
        pytest.raises(TritonUnavailable, match=f"Triton cannot be reached at {away}"),
    ):
        publish(models, tiny, triton=half_away)
    assert states(models) == before
