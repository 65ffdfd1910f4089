"""The rounds of a loop: export what was accepted, train, decide, publish, and watch a trial."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from sixpoint.client import AnnotationInfo, Client
from sixpoint.datasets import DatasetSource, export_dataset, read_manifest, verify_manifest
from sixpoint.errors import FailedPrecondition
from sixpoint.errors.shortening import quoted
from sixpoint.loop.accepted import identify, new_annotations
from sixpoint.loop.decisions import (
    Choice,
    Decision,
    PublishFacts,
    TrainFacts,
    TrialFacts,
    Verdict,
    Work,
    decide,
)
from sixpoint.loop.programs import Programs
from sixpoint.loop.record import FileRecord, Record
from sixpoint.loop.rules import Rules, Task
from sixpoint.loop.segmenting import start_segmenting
from sixpoint.loop.training import RUN, read_figures, training_arguments

__all__ = ["Learning"]

_LOCK = "lock"
_DAY = 86400.0


@dataclass(frozen=True, kw_only=True)
class Learning:
    """The loop of one dataset.

    Attributes:
        source: Where the dataset is, such as a client of the gateway.
        segment: Called with name and version of a new segmentation model, and with :attr:`say`: begins a job.
        dataset: Name of the dataset.
        rules: Rules in force.
        folder: Folder of the loop, with a folder for each round.
        repository: Folder of the model repository.
        triton: Addresses of the Tritons, host:port.
        record: The decisions; None for those in :attr:`folder`.
        programs: How trainer and exporter are started.
        say: Called with a line for people.
    """

    source: DatasetSource
    segment: Callable[[str, str, Callable[[str], None]], None]
    dataset: str
    rules: Rules
    folder: Path
    repository: Path
    triton: Sequence[str]
    record: Record | None = None
    programs: Programs = field(default_factory=Programs)
    say: Callable[[str], None] = field(default=lambda _: None)

    @classmethod
    def through(cls, client: Client, **others: Any) -> Learning:
        """The loop of a dataset that a gateway has; ``others``: the attributes besides source and segment."""
        dataset: str = others["dataset"]
        segment = partial(start_segmenting, client, dataset)
        return cls(source=client, segment=segment, **others)

    def run_once(self, *, by_hand: bool = False) -> Verdict:
        """Do what the rules ask for now: go on with a round that was interrupted, end a trial, or begin a round.

        Args:
            by_hand: Whether to train whatever the rules say about when.

        Returns:
            The last decision.

        Raises:
            FailedPrecondition: Another round works in the folder.
            SixpointError: The gateway, the trainer or the exporter failed. The next call goes on.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with _locked(self.folder / _LOCK):
            verdicts = [self._run_task(task, by_hand=by_hand) for task in self.rules.tasks]
        return next((verdict for verdict in reversed(verdicts) if verdict.choice is not Choice.WAIT), verdicts[-1])

    def _run_task(self, task: Task, *, by_hand: bool) -> Verdict:
        every = self._decisions().read()
        decisions = [decision for decision in every if decision.task == task]
        last = decisions[-1] if decisions else None
        if last is not None and last.verdict.choice is Choice.TRAIN:
            self.say(f"going on with round {last.round}")
            return self._finish_round(last)
        if last is not None and last.verdict.choice is Choice.PUBLISH and last.rules.share_of(task) < 1:
            return self._watch_trial(last)
        number = 1 + max((decision.round for decision in every), default=0)
        return self._begin_round(decisions, task=task, number=number, by_hand=by_hand)

    def _begin_round(self, decisions: Sequence[Decision], *, task: Task, number: int, by_hand: bool) -> Verdict:
        accepted = self._accepted()
        new = new_annotations(accepted, decisions)
        oldest = min((each.created for each in new), default=_now())
        facts = TrainFacts(
            accepted=len(accepted),
            new=len(new),
            waiting_days=round(_days_since(oldest), 3),
            by_hand=by_hand,
        )
        verdict = decide(self.rules, facts)
        self._say_verdict(verdict)
        if verdict.choice is Choice.WAIT:
            return verdict
        data = self._round(number) / "data"
        # Of a call that was killed before its decision was recorded.
        shutil.rmtree(data.parent, ignore_errors=True)
        result = export_dataset(self.source, self.dataset, data, modality=self.rules.modality)
        waiting = {image.case_name for image in self.source.datasets.images(self.dataset) if image.state != "accepted"}
        for case, reason in result.left_out.items():
            if case not in waiting:
                self.say(f"left out {case}: {reason}")
        decision = Decision(
            time=_now(),
            round=number,
            rules=self.rules,
            facts=facts,
            verdict=verdict,
            task=task,
            started_from=self._serving(task),
            annotations=tuple(case.annotation_digest for case in read_manifest(data).cases if case.split != "test"),
            considered=tuple(identify(each) for each in accepted),
        )
        self._decisions().append(decision)
        return self._finish_round(decision)

    def _finish_round(self, begun: Decision) -> Verdict:
        folder, rules = self._round(begun.round), begun.rules
        if differences := verify_manifest(folder / "data"):
            raise FailedPrecondition(
                f"the export of round {begun.round} was changed after it was made: {differences[0]}; move "
                f"{folder / 'data'} away, and ask for a round by hand"
            )
        version, facts = "", PublishFacts()
        try:
            facts = self._train(folder, begun)
            verdict = decide(rules, facts)
            if verdict.choice is Choice.PUBLISH:
                version, seconds = self._publish(folder, begun)
                facts = facts.model_copy(update={"seconds": seconds})
        except FailedPrecondition as error:
            facts = facts.model_copy(update={"refusal": error.message})
        verdict = decide(rules, facts)
        if version and begun.task == "segmentation" and rules.segmentation.segment:
            # Before it is recorded: a call that is killed here begins it again, and no image is segmented twice.
            self.segment(rules.segmentation.model, version, self.say)
        self._record(begun, facts, verdict, version=version)
        return verdict

    def _train(self, folder: Path, begun: Decision) -> PublishFacts:
        rules, log = begun.rules, folder / "trainer.log"
        start = self.repository / rules.model_of(begun.task) / begun.started_from if begun.started_from else None
        minutes = rules.training_of(begun.task).minutes
        self.say(
            f"training for {minutes:g} minutes, {f'beside version {start.name}' if start else 'a first version'}; {log}"
        )
        self.programs.run_logged("trainer", training_arguments(rules, begun.task, folder=folder, start=start), log=log)
        return read_figures(folder / RUN, first=start is None)

    def _publish(self, folder: Path, begun: Decision) -> tuple[str, dict[str, float]]:
        """Publish the model of a round; return its version, and what it takes in Triton beside the one before."""
        rules = begun.rules
        # The gates compared both versions on the same cases; the exporter knows only what each was measured on then.
        # Of this very checkpoint a call that was killed may have published a version, and not have recorded it.
        arguments = ["publish", str(folder / RUN / "checkpoint.pt"), "--name", rules.model_of(begun.task)]
        arguments += ["--once", "--json", "--force"]
        # Nobody has compared it with another one, which may serve by now.
        arguments += ["--replaces", begun.started_from or "0"]
        arguments += ["--max-slowdown", f"{rules.gates.may_slow:g}"] if rules.gates.may_slow is not None else []
        arguments += ["--share", f"{rules.share_of(begun.task):g}", *self._repository_arguments()]
        published: dict[str, Any] = self.programs.run_json("exporter", arguments)
        speed: dict[str, float] | None = published["speed"]
        seconds = {"start": speed["serving"], "trained": speed["new"]} if speed else {}
        return str(published["version"]), seconds

    def _watch_trial(self, published: Decision) -> Verdict:
        rules = published.rules
        since = [each for each in self._accepted(every=True) if each.created >= published.time]
        facts = TrialFacts(
            serving=_work(since, rules.model, published.started_from),
            candidate=_work(since, rules.model, published.version),
            days=round(_days_since(published.time), 3),
            state=self._states(rules.model).get(published.version, "removed"),
        )
        verdict = decide(rules, facts)
        if verdict.choice is Choice.WAIT:
            self._say_verdict(verdict)
            return verdict
        if facts.state == "candidate":
            share = "1" if verdict.choice is Choice.PROMOTE else "0"
            arguments = ["promote", rules.model, published.version, "--share", share, "--force", "--json"]
            self.programs.run_json("exporter", [*arguments, *self._repository_arguments()])
        self._record(published, facts, verdict, version=published.version)
        return verdict

    def _record(self, begun: Decision, facts: PublishFacts | TrialFacts, verdict: Verdict, *, version: str) -> None:
        decision = begun.model_copy(update={"time": _now(), "facts": facts, "verdict": verdict, "version": version})
        self._decisions().append(decision)
        self._say_verdict(verdict, version=version)

    def _accepted(self, *, every: bool = False) -> list[AnnotationInfo]:
        """The latest accepted annotation of each image that may be learnt from; ``every``: all accepted ones."""
        usable = {image.digest for image in self.source.datasets.images(self.dataset) if image.split != "test"}
        latest: dict[str, AnnotationInfo] = {}
        infos = self.source.datasets.annotations(self.dataset, state="accepted")
        if every:
            return infos
        for info in infos:
            if info.image_digest in usable:
                latest.setdefault(info.image_digest, info)
        return list(latest.values())

    def _states(self, model: str) -> dict[str, str]:
        """What each version of a model does, by its number: "serving", "candidate" and so on."""
        listed = self.programs.run_json("exporter", ["versions", model, "--json", "--repository", str(self.repository)])
        return {str(version["version"]): str(version["state"]) for version in listed}

    def _serving(self, task: Task) -> str:
        """The version that serves; empty for a segmentation model that has none yet."""
        model = self.rules.model_of(task)
        if task == "segmentation" and not (self.repository / model).is_dir():
            return ""
        for version, state in self._states(model).items():
            if state == "serving":
                return version
        raise FailedPrecondition(
            f"{self.repository} has no version of {quoted(model)} that serves: publish one first, or name "
            "the repository that Triton serves by --repository"
        )

    def _repository_arguments(self) -> list[str]:
        named = ["--repository", str(self.repository)]
        return [*named, *(part for address in self.triton for part in ("--triton", address))]

    def _decisions(self) -> Record:
        return self.record or FileRecord(self.folder)

    def _round(self, number: int) -> Path:
        return self.folder / f"round-{number:04d}"

    def _say_verdict(self, verdict: Verdict, *, version: str = "") -> None:
        about = f" version {version}" if version else ""
        self.say(f"{verdict.choice.value}{about}: {'; '.join(verdict.reasons)}")


def _work(annotations: Sequence[AnnotationInfo], model: str, version: str) -> Work:
    of_version = [each for each in annotations if (each.model, each.model_version) == (model, version)]
    masks = sum(sum(count > 0 for count in each.voxel_counts.values()) for each in of_version)
    if not masks:
        return Work()
    # The first prompt of each mask begins it.
    corrections = sum(each.prompt_count for each in of_version) - masks
    return Work(
        masks=masks,
        corrections=round(max(0, corrections) / masks, 4),
        seconds=round(sum(each.active_seconds for each in of_version) / masks, 2),
    )


def _now() -> datetime:
    return datetime.now(UTC)


def _days_since(time: datetime) -> float:
    return max(0.0, (_now() - time).total_seconds() / _DAY)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Let one loop at a time work in a folder. The lock ends with the process, however that ends."""
    try:
        import fcntl
    except ImportError:  # Windows, on which no Triton runs
        yield
        return
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FailedPrecondition(
                f"another round works in {path.parent}; wait until it has ended, then start the next one"
            ) from None
        yield
