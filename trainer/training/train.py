"""Training a segmentation network on labelled images: from a dataset to a checkpoint that the exporter takes.

A run lives in one folder. What it needs to go on after a kill is written whole or not at all, and the batch of a step
depends on the seed and the step alone: a run that was interrupted ends as it would have ended.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import monai
import torch
from lightning_fabric import Fabric
from monai.losses.dice import DiceCELoss
from torch import nn

from trainer.data.cases import PreparedCase, cases_folder, prepare_cases
from trainer.data.experiment import Experiment, prepare_experiment, write_split
from trainer.data.patches import PatchBatch, PatchDataset, iterate_patches
from trainer.training.checkpoint import read_weights
from trainer.training.network import build_network
from trainer.training.run_state import CHECKPOINT, ComputePrecision, RunState, TrainConfig, TrainProgress
from trainer.training.sliding_window import dice_per_label, segment_case
from trainer.training.warm_start import load_matching
from trainer.training.weight_average import WeightAverage

__all__ = ["figure_names", "train"]

_WARM_UP_STEPS = 100
Report = Callable[[TrainProgress], None]


def train(plan: TrainConfig, *, report: Report = lambda _: None) -> Path:
    """Train until the budget or the patience is spent, going on where the folder's run stopped if there is one.

    Args:
        plan: What to do.
        report: Called after every step, and while cases are read.

    Returns:
        The best checkpoint; its spec lies beside it.

    Raises:
        DatasetError: The dataset cannot be used.
        ModelSpecError: The template is wrong.
        FailedPrecondition: The folder holds another run.
        InvalidArgument: ``init`` is no checkpoint of such a network.
    """
    plan.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(plan.threads)
    fabric = Fabric(devices=plan.devices, precision=(plan.precision or _best_precision()).value)
    fabric.launch()
    if not fabric.is_global_zero:
        report = _silent
    workers = os.cpu_count() or 1
    # The others find on the disk what the first made.
    with fabric.rank_zero_first():
        experiment = prepare_experiment(
            plan.data,
            plan.template,
            out=plan.out,
            seed=plan.seed,
            held_out_fraction=plan.held_out_fraction,
            held_out=plan.held_out,
            workers=workers,
            report=lambda share: report(TrainProgress("reading", share)),
        )
    trainer = _Trainer(plan, experiment, fabric, report)
    if fabric.is_global_zero:
        write_split(experiment.split, out=plan.out)
    if trainer.run.budget_spent(plan) < 1.0:
        folder = cases_folder(plan.out, experiment.spec)
        with fabric.rank_zero_first():
            cases = prepare_cases(
                experiment.dataset.cases,
                experiment.spec,
                labels=experiment.fingerprint.labels,
                folder=folder,
                workers=workers,
                report=lambda share: report(TrainProgress("preparing", share)),
            )
        trainer.fit(cases)
        fabric.barrier()
        if fabric.is_global_zero:
            shutil.rmtree(folder)
    return plan.out / CHECKPOINT


class _Trainer:
    """A run on its device."""

    def __init__(self, plan: TrainConfig, experiment: Experiment, fabric: Fabric, report: Report) -> None:
        self.plan = plan
        self.experiment = experiment
        self.spec = experiment.spec
        self.fabric = fabric
        self.report = report
        torch.manual_seed(plan.seed)
        network = _channels_last(build_network(self.spec))
        if plan.init is not None:
            load_matching(network, read_weights(plan.init), source=plan.init)
        optimiser = torch.optim.AdamW(network.parameters(), lr=plan.learning_rate, weight_decay=1e-4)
        self.model, self.stepper = fabric.setup(network, optimiser)
        identity = {
            "spec": self.spec.to_json(),
            "split": [list(experiment.split.training), list(experiment.split.validation)],
            "seed": plan.seed,
            "batch size": plan.batch_size,
            "mirroring": plan.mirror,
        }
        self.run = RunState(network, optimiser, WeightAverage(network, decay=0.995), identity)
        self.run.resume(plan.out, device=fabric.device)
        self.loss_of = DiceCELoss(include_background=False, to_onehot_y=True, softmax=True, batch=True)

    def fit(self, cases: Mapping[str, PreparedCase]) -> None:
        """Train until the budget or the patience is spent."""
        # The writer is slow to import, and only training needs it.
        from torch.utils.tensorboard import SummaryWriter

        plan, run, first = self.plan, self.run, self.fabric.is_global_zero
        learnt = tuple(cases[name] for name in self.experiment.split.training)
        held_out = [cases[name] for name in self.experiment.split.validation]
        patches = PatchDataset(learnt, self.spec, plan.seed, plan.batch_size, plan.mirror, self.fabric.global_rank)
        stream = iterate_patches(patches, first=run.step, last=plan.steps, workers=plan.workers)
        writer = SummaryWriter(plan.out / "tensorboard", purge_step=run.step) if first else None
        before, started = run.elapsed_s, time.monotonic()
        saved = started
        while (share := run.budget_spent(plan)) < 1.0:
            rate = _rate(plan, run.step, share)
            scalars = {"loss": self._step(next(stream), rate), "rate": rate}
            # All processes go by one clock, or one would wait for the others' next step for ever.
            run.elapsed_s = self.fabric.broadcast(before + time.monotonic() - started)
            measured = run.step % plan.validation_interval == 0 or run.budget_spent(plan) >= 1.0
            if measured:
                scalars |= (figures := self._validate(held_out))
                if run.record_validation(figures) and first:
                    run.publish(plan.out, self.spec, provenance=self._provenance())
                if first:
                    run.write_history(plan.out)
            if writer and (measured or run.step % 20 == 0):
                for name, value in scalars.items():
                    writer.add_scalar(name.replace("_", "/", 1), value, run.step)
            if first and (measured or time.monotonic() - saved >= plan.save_interval_s):
                run.save(plan.out)
                saved = time.monotonic()
            self.report(TrainProgress("training", run.budget_spent(plan), run.step, run.loss, run.dice()))
        if writer:
            writer.close()

    def _step(self, batch: PatchBatch, rate: float) -> float:
        """One step of the optimiser; the batch's loss."""
        run = self.run
        for group in run.optimiser.param_groups:
            group["lr"] = rate
        # What is random in a network depends on the step alone, too.
        torch.manual_seed(self.plan.seed + run.step)
        self.model.train()
        channels, labels = self.fabric.to_device(batch)
        logits = self.model(channels.contiguous(memory_format=torch.channels_last_3d))
        loss = self.loss_of(logits.float(), labels)
        self.stepper.zero_grad()
        self.fabric.backward(loss)
        norm = self.fabric.clip_gradients(self.model, self.stepper, max_norm=5.0, error_if_nonfinite=False)
        value = float(loss.detach())
        # One bad batch must not end a run of hours. All processes see the same norm, and so do the same.
        if norm is not None and bool(torch.isfinite(norm)):
            self.stepper.step()
            run.average.update(run.network, run.step)
            run.loss = value if math.isnan(run.loss) else 0.99 * run.loss + 0.01 * value
        run.step += 1
        return value

    def _validate(self, held_out: list[PreparedCase]) -> dict[str, float]:
        """Dice of the averaged weights on the cases held out, shared among the processes."""
        device, labels = self.fabric.device, self.spec.labels
        network = _channels_last(build_network(self.spec)).to(device)
        network.load_state_dict(self.run.average.state)
        network.eval()
        sums = torch.zeros(2, len(labels))
        for case in held_out[self.fabric.global_rank :: self.fabric.world_size]:
            with self.fabric.autocast():
                found = segment_case(network, case, self.spec, device=device)
            dice = torch.tensor(dice_per_label(found, case.truth, count=len(labels)))
            sums += torch.stack([dice.nan_to_num(0.0), (~dice.isnan()).float()])
        total, cases = cast(torch.Tensor, self.fabric.all_reduce(sums.to(device), reduce_op="sum")).tolist()
        # A label that no held-out case has says nothing.
        means = {name: t / n for name, t, n in zip(figure_names(labels), total, cases, strict=True) if n}
        return {"dice": sum(means.values()) / len(means) if means else 0.0, **means}

    def _provenance(self) -> dict[str, str]:
        plan, dataset, parts = self.plan, self.experiment.dataset, self.experiment.split
        facts = {
            "dataset": dataset.name,
            "data_licence": plan.licence or dataset.licence or "unknown",
            "training_cases": str(len(parts.training)),
            "held_out_cases": str(len(parts.validation)),
            "steps": str(self.run.step),
            "minutes": f"{self.run.elapsed_s / 60:.1f}",
            "device": f"{self.fabric.world_size} x {_device_name(self.fabric.device)}",
            "seed": str(plan.seed),
            "mirrored": "yes" if plan.mirror else "no",
            "trained_with": f"torch {torch.__version__}",
            "monai": monai.__version__,
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        if plan.init is not None:
            facts["started_from_sha256"] = hashlib.sha256(plan.init.read_bytes()).hexdigest()
        return facts


def _rate(plan: TrainConfig, step: int, share: float) -> float:
    """The learning rate: a linear warm-up, then a cosine over the budget, down to a hundredth."""
    return (
        plan.learning_rate * min(1.0, (step + 1) / _WARM_UP_STEPS) * (0.01 + 0.99 * (1 + math.cos(math.pi * share)) / 2)
    )


def _channels_last(network: nn.Module) -> nn.Module:
    return network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]


def figure_names(labels: Sequence[str]) -> list[str]:
    """What each label's Dice is called, in any script: ``dice_left_lung``; with its number where that is taken."""
    names: list[str] = []
    for number, label in enumerate(labels, start=1):
        name = "_".join(["dice", *re.findall(r"[^\W_]+", label.lower())])
        # "dice" itself is their mean.
        while name in {"dice", *names}:
            name += f"_{number}"
        names.append(name)
    return names


def _best_precision() -> ComputePrecision:
    if torch.cuda.is_available():
        fast = torch.cuda.is_bf16_supported()
    else:
        # Without AMX, bfloat16 convolutions take a CPU twice as long as those in single precision.
        capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
        fast = bool(capabilities.get("amx_bf16"))
    return ComputePrecision.MIXED if fast else ComputePrecision.SINGLE


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {os.cpu_count()} cores"


def _silent(_: TrainProgress) -> None:
    """Only the first process speaks."""
