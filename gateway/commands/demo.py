"""``gateway demo``: start Triton and a gateway, annotate one image, write mask and preview, and stop both."""

from __future__ import annotations

import asyncio
import tempfile
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from gateway.server import Gateway
from gateway.settings import Settings
from gateway.triton.local.server import LocalTriton
from gateway.triton.local.shipped_models import SHIPPED_MODELS
from sixpoint._typing import Array
from sixpoint.cli.tables import print_table
from sixpoint.client import AsyncClient
from sixpoint.errors import PromptError
from sixpoint.metrics import dice
from sixpoint.phantom import make_phantom
from sixpoint.preview import render_preview, save_preview
from sixpoint.prompts import ExtremePoints, Frame, parse_points
from sixpoint.report import Step, report, report_table
from sixpoint.volume import Volume

__all__ = ["DEMO_FILES", "Case", "choose_case", "run_demo"]

DEMO_FILES = ("mask.nii.gz", "preview.png", "triton.log")
"""Files that the demo writes into its folder."""

_ORGAN = "liver"
_READY_SECONDS = 60.0


@dataclass(frozen=True, eq=False)
class Case:
    """The image that the demo annotates.

    Attributes:
        name: Name of the image in the report.
        volume: Image to annotate.
        prompt: Six extreme points of the object.
        truth: True mask [z, y, x]; None if unknown.
    """

    name: str
    volume: Volume
    prompt: ExtremePoints
    truth: Array | None = None


def choose_case(image: Path | None, points: str) -> Case:
    """Read the image and the points; without both, take the liver of the phantom.

    Args:
        image: File or folder of the image; None for the phantom.
        points: Extreme points as text; empty for the phantom.

    Raises:
        VolumeError: When the image cannot be read.
        PromptError: When only one of image and points is given, or the points are not valid extreme points.
    """
    if image and points:
        case = Case(image.name, Volume.read(image), parse_points(points, frame=Frame.VOXEL))
        # Check the points before Triton is started.
        case.prompt.to_index(case.volume.geometry)
        return case
    if image or points:
        raise PromptError(
            "give an image and its points: "
            'make demo IMAGE=ct.nii.gz POINTS="x,y,z x,y,z x,y,z x,y,z x,y,z x,y,z" (voxels)'
        )
    phantom = make_phantom()
    truth = phantom.mask(_ORGAN)
    return Case(f"phantom CT, {_ORGAN}", phantom.image, ExtremePoints.of_mask(truth), truth)


async def run_demo(settings: Settings, case: Case, *, output: Path, verbose: bool, console: Console) -> None:
    """Start Triton and the gateway, annotate the case, write mask and preview, and stop both.

    Args:
        settings: Settings of the gateway and of the local Triton.
        case: Image to annotate.
        output: Folder for ``mask.nii.gz`` and ``preview.png``.
        verbose: Whether to report times and bytes, too.
        console: Console for progress and report.

    Raises:
        Unavailable: When Triton or the gateway cannot start.
        SixpointError: When the annotation fails.
    """
    output.mkdir(parents=True, exist_ok=True)
    console.print("starting Triton ...")
    with tempfile.TemporaryDirectory(prefix="sixpoint-") as state:
        local = settings.with_state_in(Path(state)).model_copy(update={"drain_notice_seconds": 0.0})
        # Nothing is published: the shipped models need no copy.
        repository = SHIPPED_MODELS if settings.serves_copy else None
        async with LocalTriton(settings.local_triton(log=output / "triton.log", repository=repository)) as triton:
            local = local.with_triton(triton.address, key=triton.key)
            console.print("starting the gateway ...")
            async with Gateway(local).running() as gateway, AsyncClient(f"127.0.0.1:{gateway.port}") as client:
                await gateway.wait_until_ready(_READY_SECONDS)
                started = time.perf_counter()
                async with await client.open_session(case.volume, model="annotation") as session:
                    opened = time.perf_counter()
                    mask = await session.annotate(case.prompt)
                    answered = time.perf_counter()
    mask.save(output / "mask.nii.gz")
    points = case.prompt.to_index(case.volume.geometry)
    picture = await asyncio.to_thread(render_preview, case.volume, mask.array, points)
    save_preview(picture, output / "preview.png")
    step = Step(case.prompt, mask, timedelta(seconds=answered - opened))
    facts = report([step], image=case.name, upload=timedelta(seconds=opened - started))
    if case.truth is not None:
        facts["dice"] = dice(mask.array, case.truth)
    console.print()
    print_table(report_table(facts, verbose=verbose))
    written = escape(f"{output / 'mask.nii.gz'} and {output / 'preview.png'}")
    console.print(f"\nwrote {written}; Triton and the gateway are stopped")
