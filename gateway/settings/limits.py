"""Settings of deadlines, memory, space, and how much may be done at once."""

from __future__ import annotations

import os
from collections.abc import Callable

from pydantic import Field

from gateway.settings.part import SettingsPart

__all__ = ["LimitSettings"]

_GIB = 2**30


def _of_one_owner(limit: str, *, left: int = 8) -> Callable[[dict[str, int]], int]:
    """Return the default limit for one owner: the limit for all, but a part that is left to others, 1 / ``left``."""
    return lambda values: values[limit] - values[limit] // left


class LimitSettings(SettingsPart):
    """Limits for all, and for one owner."""

    workers: int = Field(default_factory=lambda: os.cpu_count() or 1, ge=1)
    """Threads for preprocessing and postprocessing prompts, and as many again for segmentations."""
    call_seconds: float = Field(default=60.0, gt=0)
    """Default deadline of a call, in seconds."""
    max_call_seconds: float = Field(default=600.0, gt=0)
    """Latest deadline that a client may set for a call, in seconds."""
    upload_seconds: float = Field(default=600.0, gt=0)
    """Default deadline of an upload, in seconds."""
    max_upload_seconds: float = Field(default=6 * 3600.0, gt=0)
    """Latest deadline that a client may set for an upload, in seconds."""
    upload_idle_seconds: float = Field(default=60.0, gt=0)
    """Seconds within which an upload must send its next 64 KiB; it can be continued. A sixth, if others wait."""
    upload_memory_bytes: int = Field(default=768 * 2**20, gt=0)
    """Bytes of memory for all uploads, 12 MiB for each; further uploads wait."""
    segmentation_seconds: float = Field(default=1800.0, gt=0)
    """Default deadline of a segmentation, in seconds."""
    max_segmentation_seconds: float = Field(default=6 * 3600.0, gt=0)
    """Latest deadline that a client may set for a segmentation, in seconds."""
    stream_idle_seconds: float = Field(default=3600.0, gt=0)
    """Seconds after which a viewer's stream without an action is closed."""
    max_stream_seconds: float = Field(default=86400.0, gt=0)
    """Seconds after which a viewer's stream is closed."""
    max_image_bytes: int = Field(default=2 * _GIB, gt=0)
    """Largest image accepted, in bytes of voxels."""
    disk_bytes: int = Field(default=64 * _GIB, gt=0)
    """Limit for all images together, in bytes of voxels."""
    owner_image_bytes: int = Field(default=0, ge=0)
    """Limit for all images of one owner together, in bytes of voxels; 0 for no limit."""
    cache_bytes: int = Field(default=8 * _GIB, gt=0)
    """Bytes of cached images that the blob store does not share; the least recently used are removed first."""
    image_memory_bytes: int = Field(default=_GIB, ge=0)
    """Bytes of memory for results computed from images and used again; voxels are mapped from files."""
    image_idle_seconds: float = Field(default=7 * 86400.0, gt=0)
    """Seconds after which an unused image that is in no open session is removed."""
    unfinished_upload_bytes: int = Field(default=8 * _GIB, ge=0)
    """Bytes of all uploads that ended early and can be continued; the oldest are removed first."""
    owner_unfinished_upload_bytes: int = Field(default=4 * _GIB, ge=0)
    """Bytes of the uploads of one owner that ended early and can be continued."""
    unfinished_upload_seconds: float = Field(default=86400.0, gt=0)
    """Seconds after which an upload that ended early is removed."""
    max_sessions: int = Field(default=10_000, gt=0)
    """Limit for open sessions."""
    owner_sessions: int = Field(default_factory=_of_one_owner("max_sessions", left=4), ge=0)
    """Limit for open sessions of one owner; 0 for none of its own. By default a quarter is left to others."""
    session_steps: int = Field(default=10_000, gt=0)
    """Limit for steps of one session."""
    session_log_bytes: int = Field(default=2 * _GIB, gt=0)
    """Limit for the steps of one session, in bytes of the database; a click takes about 60 KiB."""
    owner_log_bytes: int = Field(default=16 * _GIB, ge=0)
    """Limit for the steps of all sessions of one owner, in bytes of the database; 0 for no limit."""
    log_bytes: int = Field(default=64 * _GIB, gt=0)
    """Limit for the steps of all sessions, in bytes of the database."""
    annotation_bytes: int = Field(default=64 * _GIB, gt=0)
    """Limit for the masks of all saved annotations, in bytes of the database; a part is left to owners with fewer."""
    session_idle_seconds: float = Field(default=86400.0, gt=0)
    """Seconds after which an unused session is closed."""
    lease_idle_seconds: float = Field(default=3600.0, gt=0)
    """Seconds without work after which an nnInteractive client has to connect again; its session stays."""
    lease_liveness_seconds: float = Field(default=120.0, ge=10)
    """Seconds without a heartbeat after which an nnInteractive client has to connect again."""
    session_memory_bytes: int = Field(default=_GIB // 2, ge=0)
    """Bytes of memory for the recently used sessions; everything is also in the database."""
    session_memory_seconds: float = Field(default=600.0, gt=0)
    """Seconds without a prompt after which a session is dropped from memory; at most 15 for one above 8 MiB."""
    max_prompts: int = Field(default=256, gt=0)
    """Limit for prompts that are being answered or wait."""
    owner_prompts: int = Field(default_factory=_of_one_owner("max_prompts"), gt=0)
    """Limit for prompts of one owner that are being answered or wait. By default an eighth is left to others."""
    prompt_memory_bytes: int = Field(default=2 * _GIB, gt=0)
    """Bytes of memory for all prompts that are being answered; further prompts wait."""
    stream_memory_bytes: int = Field(default=_GIB // 2, gt=0)
    """Bytes of memory for actions and answers that wait in the streams of all viewers; half of it for one owner."""
    max_segmentations: int = Field(default=8, gt=0)
    """Limit for segmentations that run or wait."""
    owner_segmentations: int = Field(default_factory=_of_one_owner("max_segmentations"), gt=0)
    """Limit for segmentations of one owner that run or wait. By default an eighth is left to others."""
    segmentation_memory_bytes: int = Field(default=4 * _GIB, gt=0)
    """Bytes of memory for all running segmentations; further ones wait, and one that needs more is refused."""
    segmentation_patches: int = Field(default=4, ge=1)
    """Patches that one segmentation sends to Triton at once; best two or more per model instance."""
    job_workers: int = Field(default=1, ge=0, le=64)
    """Processes beside the gateway that run jobs, while there are any; 0 where others do (gateway worker)."""
    worker_jobs: int = Field(default=2, ge=1, le=64)
    """Jobs that one worker runs at once; its segmentations share SIXPOINT_SEGMENTATION_MEMORY_BYTES of its own."""
    tenant_jobs: int = Field(default=100, gt=0)
    """Limit for jobs of one tenant that wait, are paused, or run."""
    tenant_running_jobs: int = Field(default=4, gt=0)
    """Limit for jobs of one tenant that run at once, on all workers."""
    max_uploads: int = Field(default=256, gt=0)
    """Limit for uploads that run or wait."""
    owner_uploads: int = Field(default_factory=_of_one_owner("max_uploads"), gt=0)
    """Limit for uploads of one owner at once. By default an eighth is left to others."""
    max_streams: int = Field(default=1024, gt=0)
    """Limit for open streams of viewers."""
    owner_streams: int = Field(default_factory=_of_one_owner("max_streams", left=4), gt=0)
    """Limit for open streams of one owner. By default a quarter is left to others."""
    owner_calls_per_second: float = Field(default=1000.0, ge=0)
    """Calls of one owner a second, in one gateway; ten seconds' worth may come at once. 0 for no limit."""
    owner_upload_bytes_per_second: float = Field(default=float(_GIB), ge=0)
    """Bytes that one owner uploads a second, in one gateway; ten seconds' worth may come at once. 0 for no limit."""
    owner_segmentations_per_minute: float = Field(default=600.0, ge=0)
    """Segmentations of one owner a minute, in one gateway; a minute's worth may come at once. 0 for no limit."""
