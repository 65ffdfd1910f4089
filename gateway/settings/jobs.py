"""Settings of jobs: which kinds workers run, and the folders that some of them need."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, field_validator

from gateway.settings.part import SettingsPart

__all__ = ["PROGRAM_KINDS", "JobSettings"]

PROGRAM_KINDS = ("train", "evaluate", "publish", "learn")
"""Kinds of jobs that are programs of the trainer and the exporter."""
_KINDS = ("segment", *PROGRAM_KINDS, "export", "import")


class JobSettings(SettingsPart):
    """What workers run, and where its files are."""

    worker_kinds: str = "segment"
    """Kinds of jobs that workers run, with commas: segment, train, evaluate, publish, learn, export, import."""
    jobs_folder: Path | None = None
    """Folder of the data and results of train, evaluate, publish and learn, which need it; their workers share it."""
    export_folder: Path | None = None
    """Folder to which jobs of the kind export write datasets, in a folder for each tenant; all workers share it."""
    import_folder: Path | None = None
    """Folder from which jobs of the kind import read datasets, in a folder for each tenant; all workers share it."""
    jobs_python: Path | None = None
    """Python in which trainer and exporter are installed; by default the worker's own."""
    jobs_server: str = Field(default="", max_length=300)
    """Address of the gateway, host:port, that evaluate measures a model on; the worker's SIXPOINT_TOKEN is sent."""

    @field_validator("worker_kinds")
    @classmethod
    def _are_kinds(cls, names: str) -> str:
        unknown = sorted({name.strip() for name in names.split(",") if name.strip()} - {*_KINDS})
        if unknown:
            raise ValueError(f"there is no kind of job {', '.join(unknown)}; there are: {', '.join(_KINDS)}")
        return names

    @property
    def worker_kind_names(self) -> frozenset[str]:
        """Kinds of jobs that workers run."""
        return frozenset(name.strip() for name in self.worker_kinds.split(",") if name.strip())
