"""Training of a segmentation network on labelled images, from a dataset to a checkpoint for the exporter.

A run lives in one folder. Its state is written whole or not at all, and the batch of a step is a function of the seed
and the step: an interrupted run ends with the same weights as an uninterrupted one.
"""

from __future__ import annotations

import math
import os
import shutil
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import monai
import torch
from lightning_fabric import Fabric
from monai.losses.dice import DiceCELoss
from torch import nn

from sixpoint.model_spec import SegmentationSpec
from trainer.data.cases import CASES_PREFIX, PreparedCase, cases_folder, prepare_cases
from trainer.data.experiment import Experiment, prepare_experiment, write_split
from trainer.data.patches import PatchBatch, PatchDataset, iterate_patches
from trainer.data.stated_split import annotation_digests
from trainer.training.checkpoint import CHECKPOINT
from trainer.training.config import TrainConfig, TrainProgress
from trainer.training.devices import device_name, fastest_precision
from trainer.training.held_out import HeldOutCases, channels_last, measure_dice
from trainer.training.network import build_network
from trainer.training.run_state import RunState
from trainer.training.schedule import cosine_schedule
from trainer.training.start import StartFile, describe_origin, find_start, load_matching
from trainer.training.weight_average import WeightAverage

__all__ = ["train"]

_WARM_UP_STEPS = 100
_LOG_INTERVAL = 20
Report = Callable[[TrainProgress], None]


def train(config: TrainConfig, *, report: Report = lambda _: None, started: float | None = None) -> Path:
    """Train until the budget or the patience is spent, resuming the run in the folder if there is one.

    Args:
        config: Configuration of the run.
        report: Callback after every step, before every validation, and while cases are read.
        started: Time of :func:`time.monotonic` that the budget counts from; None: now.

    Returns:
        Path of the best checkpoint, with its spec beside it.

    Raises:
        DatasetError: The dataset is unusable.
        ModelSpecError: The template is not a valid segmentation spec.
        FailedPrecondition: The folder holds another run.
        InvalidArgument: ``init`` is not a checkpoint or model of such a network.
    """
    started = time.monotonic() if started is None else started
    config.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(config.threads)
    fabric = Fabric(devices=config.devices, precision=(config.precision or fastest_precision()).value)
    fabric.launch()
    if not fabric.is_global_zero:
        report = _report_nothing
    # The first process writes what the others then find on the disk.
    with fabric.rank_zero_first():
        experiment = prepare_experiment(
            config.data,
            config.template,
            out=config.out,
            seed=config.seed,
            held_out_fraction=config.held_out_fraction,
            held_out=config.held_out,
            workers=os.cpu_count() or 1,
            report=lambda fraction: report(TrainProgress("reading", fraction)),
        )
    run = _Run(config, experiment, fabric, report, started)
    if fabric.is_global_zero:
        write_split(experiment.split, out=config.out)
    if run.state.budget_spent(config) < 1.0 or not run.state.is_validated():
        folder = cases_folder(config.out, experiment.spec)
        with fabric.rank_zero_first():
            cases = prepare_cases(
                experiment.dataset.cases,
                experiment.spec,
                labels=experiment.fingerprint.labels,
                folder=folder,
                workers=os.cpu_count() or 1,
                report=lambda fraction: report(TrainProgress("preparing", fraction)),
                changed=lambda name: report(
                    TrainProgress("preparing", 0.0, note=f"preparing {name} again: its files changed")
                ),
            )
        run.fit(cases)
        fabric.barrier()
        if fabric.is_global_zero:
            for prepared in config.out.glob(f"{CASES_PREFIX}*"):
                shutil.rmtree(prepared)
    return config.out / CHECKPOINT


class _Run:
    """The training loop, in one of the processes that train together."""

    def __init__(
        self, config: TrainConfig, experiment: Experiment, fabric: Fabric, report: Report, started: float
    ) -> None:
        self.config = config
        self.experiment = experiment
        self.spec = experiment.spec
        self.fabric = fabric
        self.report = report
        torch.manual_seed(config.seed)
        network = channels_last(build_network(self.spec))
        self.start = find_start(config.init) if config.init else None
        self.origin: dict[str, Any] = {}
        self.fresh = self._load(network, self.start) if self.start else ()
        self.reference = find_start(config.reference) if config.reference else self.start
        optimiser = torch.optim.AdamW(network.parameters(), lr=config.learning_rate, weight_decay=1e-4)
        self.model, self.stepper = fabric.setup(network, optimiser)
        identity = {
            "spec": self.spec.to_json(),
            "split": [list(experiment.split.training), list(experiment.split.validation)],
            "seed": config.seed,
            "batch size": config.batch_size,
            "mirroring": config.mirror,
            "network to start from": self.start.sha256 if self.start else "",
        }
        self.state = RunState(network, optimiser, WeightAverage(network, decay=0.995), identity)
        self.state.resume(config.out, device=fabric.device)
        self.clock_zero = started - self.state.elapsed_s
        self.loss_function = DiceCELoss(include_background=False, to_onehot_y=True, softmax=True, batch=True)

    def fit(self, cases: Mapping[str, PreparedCase]) -> None:
        """Train on cases, by name, until the budget or the patience is spent."""
        # The writer takes long to import, and only training needs it.
        from torch.utils.tensorboard import SummaryWriter

        config, state, first = self.config, self.state, self.fabric.is_global_zero
        training = tuple(cases[name] for name in self.experiment.split.training)
        held_out = [cases[name] for name in self.experiment.split.validation]
        patches = PatchDataset(
            training, self.spec, config.seed, config.batch_size, config.mirror, self.fabric.global_rank
        )
        stream = iterate_patches(patches, first=state.step, last=config.steps, workers=config.workers)
        writer = SummaryWriter(config.out / "tensorboard", purge_step=state.step) if first else None
        if first:
            # Before the first step: all files of the dataset are read, which takes minutes of the budget.
            self.origin = describe_origin(
                self.spec,
                start=self.start,
                dataset=self.experiment.dataset,
                licence=config.licence,
                annotations=annotation_digests(config.data),
            )
        saved = time.monotonic()
        self._tick()
        if self.reference is not None and not state.step:
            self._measure_reference(self.reference)
        if math.isfinite(config.minutes):
            self._reserve_validation(held_out)
        # However short the budget, a new run takes a step.
        while (fraction := state.budget_spent(config)) < 1.0 or not state.step:
            learning_rate = cosine_schedule(
                config.learning_rate, step=state.step, warm_up_steps=_WARM_UP_STEPS, fraction=fraction
            )
            scalars = {"loss": self._step(next(stream), learning_rate), "rate": learning_rate}
            self._tick()
            validated = state.step % config.validation_interval == 0 or state.budget_spent(config) >= 1.0
            if validated:
                scalars |= self._validate_and_publish(held_out)
            if writer and (validated or state.step % _LOG_INTERVAL == 0):
                for name, value in scalars.items():
                    writer.add_scalar(name.replace("_", "/", 1), value, state.step)
            if first and (validated or time.monotonic() - saved >= config.save_interval_s):
                state.save(config.out)
                saved = time.monotonic()
            self.report(TrainProgress("training", state.budget_spent(config), state.step, state.loss, state.dice()))
        if not state.is_validated():  # resumed with its budget spent
            self._validate_and_publish(held_out)
            if first:
                state.save(config.out)
        if writer:
            writer.close()

    def _validate_and_publish(self, held_out: list[PreparedCase]) -> dict[str, float]:
        """Validate, and publish the weights if they are the best so far; return the figures."""
        state = self.state
        self.report(TrainProgress("validating", state.budget_spent(self.config), state.step, state.loss))
        began = state.elapsed_s
        figures = self._validate(held_out)
        self._tick()
        state.reserve_s = state.elapsed_s - began
        best = self.state.record_validation(figures)
        if self.fabric.is_global_zero:
            if best:
                self.state.publish(self.config.out, self._published_spec())
            self.state.write_history(self.config.out)
        return figures

    def _measure_reference(self, reference: StartFile) -> None:
        """Measure the model that the run is to be better than; its figures are those of step 0."""
        experiment, config = self.experiment, self.config
        self.report(TrainProgress("validating", self.state.budget_spent(config)))
        cases = [case for case in experiment.dataset.cases if case.name in experiment.split.validation]
        held_out = HeldOutCases(cases, experiment.fingerprint.labels, config.out, os.cpu_count() or 1)
        figures = held_out.measure(reference, self.spec, fabric=self.fabric)
        self._tick()
        self.state.record_reference(figures)
        if self.fabric.is_global_zero:
            self.state.write_history(config.out)

    def _tick(self) -> None:
        # All processes follow one clock. Otherwise one could stop while another waits for its next step forever.
        self.state.elapsed_s = self.fabric.broadcast(time.monotonic() - self.clock_zero)

    def _reserve_validation(self, held_out: list[PreparedCase]) -> None:
        """Estimate how long a validation takes by that of the first case: the run must end with its budget."""
        state, began = self.state, self.state.elapsed_s
        self._validate(held_out[:1])
        self._tick()
        cases = sum(case.truth.size for case in held_out) / held_out[0].truth.size
        state.reserve_s = (state.elapsed_s - began) * max(1.0, cases / self.fabric.world_size)

    def _load(self, network: nn.Module, start: StartFile) -> tuple[str, ...]:
        """Load the weights to start from; return the names of the tensors that start at random."""
        labels = (start.spec.output_shape[0] if start.spec else None, self.spec.output_shape[0])
        return load_matching(network, start.read(self.spec), source=start.file, labels=labels)

    def _step(self, batch: PatchBatch, learning_rate: float) -> float:
        """Take one step of the optimiser; return the loss of the batch."""
        state = self.state
        for group in state.optimiser.param_groups:
            group["lr"] = learning_rate
        # Randomness inside the network (dropout) must depend on the step alone, too.
        torch.manual_seed(self.config.seed + state.step)
        self.model.train()
        channels, labels = self.fabric.to_device(batch)
        logits = self.model(channels.contiguous(memory_format=torch.channels_last_3d))
        loss = self.loss_function(logits.float(), labels)
        self.stepper.zero_grad()
        self.fabric.backward(loss)
        norm = self.fabric.clip_gradients(self.model, self.stepper, max_norm=5.0, error_if_nonfinite=False)
        value = float(loss.detach())
        # One bad batch must not end a run of hours. All processes see the same norm and decide alike.
        if norm is not None and bool(torch.isfinite(norm)):
            self.stepper.step()
            state.average.update(state.network, state.step)
            state.loss = value if math.isnan(state.loss) else 0.99 * state.loss + 0.01 * value
        state.step += 1
        return value

    def _validate(self, held_out: list[PreparedCase]) -> dict[str, float]:
        """Compute the Dice of the averaged weights on held-out cases, divided among the processes."""
        network = channels_last(build_network(self.spec)).to(self.fabric.device)
        network.load_state_dict(self.state.average.state)
        return measure_dice(network, self.spec, held_out, self.spec.labels, fabric=self.fabric)

    def _published_spec(self) -> SegmentationSpec:
        config, split = self.config, self.experiment.split
        provenance = {
            **self.origin["provenance"],
            "training_cases": str(len(split.training)),
            "held_out_cases": str(len(split.validation)),
            "steps": str(self.state.step),
            "minutes": f"{self.state.elapsed_s / 60:.1f}",
            "device": f"{self.fabric.world_size} x {device_name(self.fabric.device)}",
            "seed": str(config.seed),
            "mirrored": "yes" if config.mirror else "no",
            "trained_with": f"torch {torch.__version__}",
            "monai": monai.__version__,
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        if self.fresh:
            provenance["started_at_random"] = ", ".join(self.fresh)
        return self.spec.model_copy(update={"licence": self.origin["licence"], "provenance": provenance})


def _report_nothing(_: TrainProgress) -> None:
    """Ignore progress: only the first process reports it."""
