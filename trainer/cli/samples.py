"""``trainer samples``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from sixpoint.io.output_files import check_not_inputs
from trainer.cli.console import say
from trainer.cli.options import ANNOTATION_SPEC, Spec
from trainer.data.spec_files import read_spec

__all__ = ["samples"]


def samples(
    out: Annotated[Path, typer.Argument(dir_okay=False, help="PNG to write.")],
    spec: Spec = ANNOTATION_SPEC,
    seed: Annotated[int, typer.Option(help="Seed of the scenes.")] = 0,
    rows: Annotated[int, typer.Option(min=1, help="Number of scenes, one per row.")] = 8,
    columns: Annotated[int, typer.Option(min=1, help="Number of samples per scene.")] = 12,
) -> None:
    """Draw training samples: the middle slice, the target's outline in green, the six points in red."""
    from trainer.data.contact_sheet import draw_contact_sheet

    check_not_inputs((out,), (spec,))
    out.parent.mkdir(parents=True, exist_ok=True)
    draw_contact_sheet(read_spec(spec), np.random.default_rng(seed), seed=seed, rows=rows, columns=columns).save(out)
    say(f"wrote {out}")
