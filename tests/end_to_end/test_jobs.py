"""A dataset is segmented in the background, by a worker in a process of its own that is killed again and again."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

import sixpoint
from sixpoint import errors
from sixpoint.client import AsyncClient, JobInfo
from sixpoint.geometry import Geometry
from sixpoint.metrics import dice
from sixpoint.volume import Volume
from tests.end_to_end.command_line import run
from tests.support.images import noisy_volume

pytestmark = pytest.mark.filterwarnings("ignore::sixpoint.ImplausibleImageWarning")

MODEL = "segmentation_hippocampus"
LABELS = ("anterior", "posterior")
CROP = (slice(0, 30), slice(20, 60), slice(20, 60))
_SECONDS = 150.0


@pytest.fixture
def client(server: str) -> Iterator[sixpoint.Client]:
    with sixpoint.Client(server, owner="jobs") as client:
        yield client


def _dataset(client: sixpoint.Client, name: str, count: int) -> list[str]:
    """Make a dataset of so many images; return their digests."""
    client.datasets.create(name, labels=LABELS)
    volume = noisy_volume((24, 22, 20))
    images = [Volume(volume.array + np.int16(number), volume.geometry) for number in range(count)]
    return [
        client.datasets.add_image(name, image, case_name=f"case-{number:02}").digest
        for number, image in enumerate(images)
    ]


def _workers() -> list[psutil.Process]:
    """The workers of the gateway that this process started."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if "worker" in process.cmdline():
                found.append(process)
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
    return found


def _until(client: sixpoint.Client, job_id: str, wanted: Callable[[JobInfo], bool]) -> JobInfo:
    end = time.monotonic() + _SECONDS
    while not wanted(info := client.jobs.get(job_id)):
        assert time.monotonic() < end, info
        time.sleep(0.02)
    return info


@pytest.mark.slow
def test_killed_workers_lose_nothing_and_do_nothing_twice(client: sixpoint.Client, server: str, tmp_path: Path) -> None:
    digests = _dataset(client, "killed", 30)
    job = client.jobs.segment("killed", MODEL)
    assert (job.kind, job.owner, job.parameters["model"]) == ("segment", "jobs", MODEL)
    _until(client, job.id, lambda info: info.done >= 1)
    for attempt in (1, 2):
        _until(client, job.id, lambda info, attempt=attempt: info.attempt == attempt)  # type: ignore[misc]
        for worker in _workers():
            os.kill(worker.pid, signal.SIGKILL)
    seen: list[JobInfo] = []
    ended = client.jobs.watch(job.id, on_change=seen.append, seconds=_SECONDS)
    assert (ended.state, ended.done, ended.total) == ("succeeded", 30, 30)
    assert ended.attempt == 3
    assert seen[-1] == ended
    drafts = client.datasets.annotations("killed", state="draft")
    assert sorted(each.image_digest for each in drafts) == sorted(digests)
    assert {(each.model, each.version, each.annotator, *sorted(each.labels)) for each in drafts} == {
        (MODEL, 1, "jobs", *LABELS)
    }
    # As without a job.
    first = client.datasets.annotation(next(each.id for each in drafts if each.image_digest == digests[0]))
    masks, alone = client.datasets.masks(first.id), client.segment(client.datasets.download(digests[0]), model=MODEL)
    assert all(np.array_equal(masks.mask(label).array, alone.mask(label).array) for label in LABELS)

    again = client.jobs.watch(client.jobs.segment("killed", MODEL).id, seconds=_SECONDS)
    assert again.state == "succeeded"
    (told,) = client.jobs.lines(again.id)
    assert told.text == f"30 images by {MODEL}: 30 left alone, with a draft of this version"
    assert [each.id for each in client.datasets.annotations("killed")] == [each.id for each in drafts]
    # A draft is handed out as what is still to be annotated.
    handed_out = client.datasets.next_image("killed")
    assert handed_out is not None
    assert handed_out.digest in digests
    review = ("sixpoint", "dataset", "review", "killed")
    drawn = run(*review, "--drafts", "--case", "case-00", "-o", tmp_path / "drafts", server=server)
    assert drawn.stdout.splitlines()[-1] == f"wrote 1 to {tmp_path / 'drafts'}"
    assert np.array_equal(Volume.read(tmp_path / "drafts" / "case-00-v1.seg.nrrd").array > 0, masks.labels > 0)
    waits = run(*review, server=server).stdout
    assert waits == "no annotation waits for a review; --drafts shows drafts\n"
    lines = [line.text for line in client.jobs.lines(job.id)]
    assert lines[-1].startswith(f"30 images by {MODEL}:")
    assert client.jobs.lines(job.id, after=len(lines)) == []


@pytest.mark.slow
def test_a_job_is_paused_resumed_and_cancelled_from_the_command_line(client: sixpoint.Client, server: str) -> None:
    _dataset(client, "stopped", 60)
    made = run("sixpoint", "dataset", "segment", "stopped", "-m", MODEL, "--json", server=server)
    job = json.loads(made.stdout)["id"]
    _until(client, job, lambda info: info.done >= 1)
    run("sixpoint", "jobs", "pause", job, server=server)
    paused = _until(client, job, lambda info: info.state == "paused")
    assert not paused.stopping
    assert client.jobs.watch(job).state == "paused"
    assert len(client.datasets.annotations("stopped")) < 60
    assert "paused" in run("sixpoint", "jobs", "show", job, server=server).stdout
    run("sixpoint", "jobs", "resume", job, server=server)
    _until(client, job, lambda info: info.done > paused.done)
    run("sixpoint", "jobs", "cancel", job, server=server)
    watched = run("sixpoint", "jobs", "watch", job, server=server)
    assert (watched.returncode, watched.stdout.split(": ")[1].split(",")[0].strip()) == (1, "cancelled")
    kept = len(client.datasets.annotations("stopped"))
    assert 0 < kept < 60
    with pytest.raises(errors.FailedPrecondition, match="cancelled"):
        client.jobs.resume(job)
    listed = json.loads(run("sixpoint", "jobs", "list", "--state", "cancelled", "--json", server=server).stdout)
    assert job in {each["id"] for each in listed}
    assert job in run("sixpoint", "jobs", "list", server=server).stdout


def test_a_job_scores_images_by_which_the_next_one_is_chosen(client: sixpoint.Client, server: str) -> None:
    digests = _dataset(client, "scored", 3)
    mask = np.zeros((20, 22, 24), np.uint8)
    mask[4:9, 4:9, 4:9] = 1
    client.datasets.add_masks("scored", digests[0], {"anterior": mask, "posterior": 1 - mask})
    assert client.jobs.watch(client.jobs.segment("scored", MODEL).id, seconds=_SECONDS).state == "succeeded"
    following = client.datasets.next_image("scored", strategy="uncertain")
    assert following is not None
    assert following.score is not None
    assert (following.score.model, sorted(following.score.entropies)) == (MODEL, sorted(LABELS))
    assert 0 < following.score.uncertainty < 1
    assert following.digest in digests[1:]
    # What somebody annotated is scored where it is asked for, and so it is known what differs from it.
    job = client.jobs.watch(client.jobs.segment("scored", MODEL, score_all=True).id, seconds=_SECONDS)
    assert f"3 images by {MODEL}: 2 left alone, with a draft of this version, 1 scored only" in [
        line.text for line in client.jobs.lines(job.id)
    ]
    told = run("sixpoint", "dataset", "next", "scored", "--strategy", "different", "--json", server=server)
    answer = json.loads(told.stdout)
    assert answer["digest"] in set(digests[1:]) - {following.digest}
    assert answer["score"]["model"] == MODEL
    assert "differs most from the 2 that people have annotated or keep" in answer["reason"]


def test_drafts_are_compared_with_an_annotation_model(client: sixpoint.Client, server: str, phantom: Path) -> None:
    client.datasets.create("compared", labels=LABELS)
    # As small as the model's own images, of a structure on which it finds something.
    array = np.ascontiguousarray(Volume.read(phantom / "image.nii.gz").array[CROP])
    image = Volume(array - array.min(), Geometry(size=(40, 40, 30)))
    client.datasets.add_image("compared", image, case_name="case")
    assert client.jobs.watch(client.jobs.segment("compared", MODEL).id, seconds=_SECONDS).state == "succeeded"
    before = client.datasets.annotations("compared")
    first = client.datasets.next_image("compared", strategy="disagreement")
    assert first is not None
    assert first.reason.startswith("no image that waits was compared with an annotation model")
    client.datasets.skip_image("compared", first.digest)
    # It has a draft, which stays as it is.
    made = ("sixpoint", "dataset", "segment", "compared", "-m", MODEL, "--compare-with", "annotation", "--watch")
    assert run(*made, server=server).returncode == 0
    assert client.datasets.annotations("compared") == before
    with sixpoint.Client(server, owner="ben") as ben:
        following = ben.datasets.next_image("compared", strategy="disagreement")
    assert following is not None
    score = following.score
    assert score is not None
    versions = {model.name: model.version for model in client.models()}
    assert (score.annotation_model, score.annotation_version) == ("annotation", versions["annotation"])
    # As a person's six clicks.
    masks, expected = client.datasets.masks(before[0].id), {}
    for label in LABELS:
        mask = masks.mask(label).array
        if mask.any():
            with client.open_session(image, model="annotation") as session:
                answer = session.annotate(sixpoint.ExtremePoints.of_mask(mask))
            expected[label] = dice(answer.array, mask)
    assert expected
    assert score.dice == pytest.approx(expected)
    assert score.disagreement == pytest.approx(1 - np.mean([*expected.values()]))
    # Once is enough.
    job = client.jobs.watch(client.jobs.segment("compared", MODEL, compare_with="annotation").id, seconds=_SECONDS)
    assert [line.text for line in client.jobs.lines(job.id)] == [
        f"1 images by {MODEL}: 1 left alone, with a draft of this version"
    ]


def test_a_model_that_takes_no_extreme_points_is_not_compared_with(client: sixpoint.Client) -> None:
    client.datasets.create("not compared", labels=LABELS)
    with pytest.raises(errors.TaskNotSupported, match="takes no extreme points"):
        client.jobs.segment("not compared", MODEL, compare_with=MODEL)


def test_what_somebody_annotated_stays_and_the_log_says_so(client: sixpoint.Client, server: str) -> None:
    digests = _dataset(client, "annotated", 2)
    mask = np.zeros((20, 22, 24), np.uint8)
    mask[4:9, 4:9, 4:9] = 1
    mine = client.datasets.add_masks("annotated", digests[0], {"anterior": mask}, state="draft")
    done = run("sixpoint", "dataset", "segment", "annotated", "-m", MODEL, "-l", "anterior", "--watch", server=server)
    assert done.returncode == 0, done.stderr
    found = {each.image_digest: each for each in client.datasets.annotations("annotated")}
    assert found[digests[0]].id == mine.id
    assert list(found[digests[1]].labels) == ["anterior"]
    job = next(each for each in client.jobs.all(state="succeeded") if each.parameters["dataset"] == "annotated")
    logged = run("sixpoint", "jobs", "logs", job.id, server=server).stdout
    assert f"2 images by {MODEL}: 1 left alone, annotated by somebody, 1 segmented" in logged
    assert json.loads(run("sixpoint", "jobs", "logs", job.id, "--json", server=server).stdout)[-1]["number"] >= 1


async def _asked(server: str, digest: str) -> tuple[JobInfo, list[JobInfo]]:
    seen: list[JobInfo] = []
    async with AsyncClient(server, owner="jobs") as client:
        job = await client.jobs.segment("awaited", MODEL, digests=[digest], priority=7)
        with pytest.raises(errors.InvalidArgument, match="state"):
            await client.jobs.all(state="lost")
        assert (await client.jobs.get(job.id)).priority == 7
        ended = await client.jobs.watch(job.id, on_change=seen.append, seconds=_SECONDS)
        with pytest.raises(errors.FailedPrecondition):
            await client.jobs.pause(job.id)
        with pytest.raises(errors.FailedPrecondition):
            await client.jobs.cancel(job.id)
        with pytest.raises(errors.FailedPrecondition):
            await client.jobs.resume(job.id)
        assert await client.jobs.lines(job.id)
        assert job.id in {each.id for each in await client.jobs.all()}
    return ended, seen


def test_a_program_on_an_event_loop_waits_for_a_job(client: sixpoint.Client, server: str) -> None:
    digests = _dataset(client, "awaited", 2)
    ended, seen = asyncio.run(_asked(server, digests[1]))
    assert (ended.state, ended.total) == ("succeeded", 1)
    assert seen[-1] == ended
    assert [each.image_digest for each in client.datasets.annotations("awaited")] == [digests[1]]


def test_what_cannot_be_segmented_is_said_at_once(client: sixpoint.Client) -> None:
    _dataset(client, "refused", 1)
    client.datasets.create("livers", labels=["liver"])
    cases: list[tuple[type[errors.SixpointError], str, Callable[[], JobInfo]]] = [
        (errors.DatasetNotFound, "no dataset", lambda: client.jobs.segment("nothing", MODEL)),
        (errors.ModelNotFound, "nothing", lambda: client.jobs.segment("refused", "nothing")),
        (errors.TaskNotSupported, "annotation", lambda: client.jobs.segment("refused", "annotation")),
        (errors.DatasetError, "has none of the labels anterior", lambda: client.jobs.segment("livers", MODEL)),
        (errors.DatasetError, "not in the dataset", lambda: client.jobs.segment("refused", MODEL, digests=["0" * 64])),
        (errors.InvalidArgument, "kind", lambda: client.jobs.create("dance", {})),
        (errors.InvalidArgument, "model", lambda: client.jobs.create("segment", {"dataset": "refused"})),
        (errors.InvalidArgument, "NaN", lambda: client.jobs.create("segment", {"dataset": float("nan")})),
        (errors.InvalidArgument, "split", lambda: client.jobs.segment("refused", MODEL, split="none")),
        (errors.InvalidArgument, "priority", lambda: client.jobs.segment("refused", MODEL, priority=1000)),
        (errors.JobNotFound, "job", lambda: client.jobs.get("a" * 26)),
    ]
    for error, words, call in cases:
        with pytest.raises(error, match=words):
            call()
    assert not [each for each in client.jobs.all() if each.parameters.get("dataset") in ("refused", "livers")]
