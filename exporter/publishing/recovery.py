"""Clean up after publishers that were killed."""

from __future__ import annotations

from dataclasses import replace

from exporter.repository.config import FILE_NAME
from exporter.repository.protocol import UNFINISHED, ModelRepository
from exporter.repository.view import read_config

__all__ = ["sweep"]


def sweep(repository: ModelRepository, name: str) -> None:
    """Remove unfinished versions of a model that serve nobody. Needs the repository's lock.

    An unfinished version that serves was killed after its last check: it loses its mark and stays.
    """
    repository.sweep(name)
    config = read_config(repository, name)
    versions = repository.versions(name)
    marked = [version for version in versions if repository.read(f"{name}/{version}/{UNFINISHED}") is not None]
    if config is None:
        # An object store receives the first version before the model's config.
        for version in marked:
            repository.drop(name, version)
        return
    untried = int(config.candidate.version) if config.candidate and config.candidate.share == 0 else None
    lost = [version for version in marked if version not in config.served or version == untried]
    if lost and set(lost) == set(versions):
        repository.drop(name)
        return
    if set(lost) & set(config.served):
        served = tuple(version for version in config.served if version not in lost)
        repository.write(f"{name}/{FILE_NAME}", replace(config, served=served, candidate=None).to_text().encode())
    for version in lost:
        repository.drop(name, version)
    for version in set(marked) - set(lost):
        repository.delete(f"{name}/{version}/{UNFINISHED}")
