"""The job that a new segmentation model does: drafts of the images that nobody has annotated."""

from __future__ import annotations

import time
from collections.abc import Callable

from sixpoint.client import Client
from sixpoint.errors import SixpointError

__all__ = ["start_segmenting"]

# The gateway asks Triton for its models every few seconds.
_WAIT_SECONDS = 60.0
_TICK_SECONDS = 0.5


def start_segmenting(client: Client, dataset: str, model: str, version: str, say: Callable[[str], None]) -> None:
    """Begin a job of the kind ``segment``, once the gateway serves the version. A refusal is said, and ends nothing.

    Args:
        client: Client of the gateway.
        dataset: Name of the dataset.
        model: Name of the segmentation model.
        version: Its version.
        say: Called with a line for people.
    """
    end = time.monotonic() + _WAIT_SECONDS
    try:
        while version not in {each.version for each in client.models() if each.name == model}:
            if time.monotonic() > end:
                say(f"no job segments the rest: the gateway does not serve version {version} of {model}")
                return
            time.sleep(_TICK_SECONDS)
        job = client.jobs.create("segment", {"dataset": dataset, "model": model})
    except SixpointError as error:
        say(f"no job segments the rest: {error.message}")
        return
    say(f"job {job.id} segments the images that nobody has annotated")
