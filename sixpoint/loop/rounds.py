"""The rounds of a loop: export what was accepted, train, decide, publish, and watch a trial."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sixpoint.client import AnnotationInfo, Client
from sixpoint.datasets import export_dataset, read_manifest, verify_manifest
from sixpoint.errors import FailedPrecondition
from sixpoint.errors.shortening import quoted
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
from sixpoint.loop.programs import run_json, run_logged
from sixpoint.loop.record import append_decision, read_decisions
from sixpoint.loop.rules import Rules

__all__ = ["Learning"]

_LOCK = "lock"
_DAY = 86400.0


@dataclass(frozen=True, kw_only=True)
class Learning:
    """The loop of one dataset.

    Attributes:
        client: Client of the gateway.
        dataset: Name of the dataset.
        rules: Rules in force.
        folder: Folder of the loop: its record, and a folder for each round.
        repository: Folder of the model repository.
        triton: Addresses of the Tritons, host:port.
        say: Called with a line for people.
    """

    client: Client
    dataset: str
    rules: Rules
    folder: Path
    repository: Path
    triton: Sequence[str]
    say: Callable[[str], None] = field(default=lambda _: None)

    def run_once(self, *, by_hand: bool = False) -> Verdict:
        """Do what the rules ask for now: go on with a round that was interrupted, end a trial, or begin a round.

        Args:
            by_hand: Whether to train whatever the rules say about when.

        Returns:
            The last decision.

        Raises:
            FailedPrecondition: Another loop works in the folder.
            SixpointError: The gateway, the trainer or the exporter failed. The next call goes on.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with _locked(self.folder / _LOCK):
            decisions = read_decisions(self.folder)
            last = decisions[-1] if decisions else None
            if last is not None and last.verdict.choice is Choice.TRAIN:
                self.say(f"going on with round {last.round}")
                return self._finish_round(last)
            if last is not None and last.verdict.choice is Choice.PUBLISH and last.rules.publish.share < 1:
                return self._watch_trial(last)
            return self._begin_round(decisions, by_hand=by_hand)

    def _begin_round(self, decisions: Sequence[Decision], *, by_hand: bool) -> Verdict:
        considered = {digest for decision in decisions for digest in decision.considered}
        accepted = self._accepted()
        new = [each for each in accepted if each.digest not in considered]
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
        number = 1 + max((decision.round for decision in decisions), default=0)
        data = self._round(number) / "data"
        # Of a call that was killed before its decision was recorded.
        shutil.rmtree(data.parent, ignore_errors=True)
        result = export_dataset(self.client, self.dataset, data, modality=self.rules.modality)
        waiting = {image.case_name for image in self.client.datasets.images(self.dataset) if image.state != "accepted"}
        for case, reason in result.left_out.items():
            if case not in waiting:
                self.say(f"left out {case}: {reason}")
        decision = Decision(
            time=_now(),
            round=number,
            rules=self.rules,
            facts=facts,
            verdict=verdict,
            started_from=self._serving(),
            annotations=tuple(case.annotation_digest for case in read_manifest(data).cases if case.split != "test"),
            considered=tuple(each.digest for each in accepted),
        )
        append_decision(self.folder, decision)
        return self._finish_round(decision)

    def _finish_round(self, begun: Decision) -> Verdict:
        folder, rules = self._round(begun.round), begun.rules
        if differences := verify_manifest(folder / "data"):
            raise FailedPrecondition(
                f"the export of round {begun.round} was changed after it was made: {differences[0]}; move "
                f"{folder / 'data'} away, and ask for a round by hand"
            )
        start = self.repository / rules.model / begun.started_from
        version, facts = "", PublishFacts()
        try:
            facts = self._train(folder, rules, start)
            verdict = decide(rules, facts)
            if verdict.choice is Choice.PUBLISH:
                version = self._publish(folder, rules)
        except FailedPrecondition as error:
            facts = facts.model_copy(update={"refusal": error.message})
            verdict = decide(rules, facts)
        self._record(begun, facts, verdict, version=version)
        return verdict

    def _train(self, folder: Path, rules: Rules, start: Path) -> PublishFacts:
        run = folder / "run"
        arguments = ["train", str(run), "--data", str(folder / "data"), "--task", "annotation", "--init", str(start)]
        arguments += ["--minutes", f"{rules.train.minutes:g}"]
        arguments += ["--steps", str(rules.train.steps)] if rules.train.steps else []
        arguments += ["--rate", f"{rules.train.rate:g}"] if rules.train.rate else []
        arguments += ["--licence", rules.licence] if rules.licence else []
        self.say(f"training for {rules.train.minutes:g} minutes from version {start.name}; {folder / 'trainer.log'}")
        run_logged("trainer", arguments, log=folder / "trainer.log")
        history: list[dict[str, float]] = json.loads((run / "metrics.json").read_text())
        first = next((entry for entry in history if entry["step"] == 0), {})
        # The checkpoint is the one with the best first answers.
        best = max((entry for entry in history if entry["step"]), key=lambda entry: entry["dice"])
        return PublishFacts(start=_dice(first), trained=_dice(best))

    def _publish(self, folder: Path, rules: Rules) -> str:
        # The gates compared both versions on the same cases; the exporter knows only what each was measured on then.
        # Of this very checkpoint a call that was killed may have published a version, and not have recorded it.
        arguments = ["publish", str(folder / "run" / "checkpoint.pt"), "--name", rules.model, "--once", "--json"]
        arguments += ["--force"]
        arguments += ["--share", f"{rules.publish.share:g}", *self._repository_arguments()]
        published: dict[str, Any] = run_json("exporter", arguments)
        return str(published["version"])

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
            run_json("exporter", [*arguments, *self._repository_arguments()])
        self._record(published, facts, verdict, version=published.version)
        return verdict

    def _record(self, begun: Decision, facts: PublishFacts | TrialFacts, verdict: Verdict, *, version: str) -> None:
        decision = begun.model_copy(update={"time": _now(), "facts": facts, "verdict": verdict, "version": version})
        append_decision(self.folder, decision)
        self._say_verdict(verdict, version=version)

    def _accepted(self, *, every: bool = False) -> list[AnnotationInfo]:
        """The latest accepted annotation of each image that may be learnt from; ``every``: all accepted ones."""
        usable = {image.digest for image in self.client.datasets.images(self.dataset) if image.split != "test"}
        latest: dict[str, AnnotationInfo] = {}
        infos = self.client.datasets.annotations(self.dataset, state="accepted")
        if every:
            return infos
        for info in infos:
            if info.image_digest in usable:
                latest.setdefault(info.image_digest, info)
        return list(latest.values())

    def _states(self, model: str) -> dict[str, str]:
        """What each version of a model does, by its number: "serving", "candidate" and so on."""
        listed = run_json("exporter", ["versions", model, "--json", "--repository", str(self.repository)])
        return {str(version["version"]): str(version["state"]) for version in listed}

    def _serving(self) -> str:
        for version, state in self._states(self.rules.model).items():
            if state == "serving":
                return version
        raise FailedPrecondition(
            f"{self.repository} has no version of {quoted(self.rules.model)} that serves: publish one first, or name "
            "the repository that Triton serves by --repository"
        )

    def _repository_arguments(self) -> list[str]:
        named = ["--repository", str(self.repository)]
        return [*named, *(part for address in self.triton for part in ("--triton", address))]

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


def _dice(entry: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in entry.items() if name.startswith("dice")}


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
                f"another loop works in {path.parent}: wait for it, or choose another folder"
            ) from None
        yield
