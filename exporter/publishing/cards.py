"""Write a model's card from what its repository holds."""

from __future__ import annotations

from exporter.repository.card import CARD, CARD_JSON, VersionFacts, render_card, render_card_json
from exporter.repository.config import ModelConfig
from exporter.repository.protocol import ModelRepository
from exporter.repository.view import read_parity, read_record

__all__ = ["write_cards"]


def write_cards(repository: ModelRepository, config: ModelConfig) -> None:
    """Write ``README.md`` and ``card.json`` of a model."""
    facts = {}
    for version in repository.versions(config.name):
        record = read_record(repository, config.name, version)
        facts[version] = VersionFacts.of_record(record, read_parity(repository, config.name, version))
    previous = (repository.read(f"{config.name}/{CARD}") or b"").decode()
    repository.write(f"{config.name}/{CARD}", render_card(config, versions=facts, previous=previous).encode())
    repository.write(f"{config.name}/{CARD_JSON}", render_card_json(config, versions=facts).encode())
