"""A tiny model, ready to be published."""

from __future__ import annotations

import pytest

from exporter.publishing.prepared import PreparedModel
from tests.exporter.publish_helpers import prepared_model


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> PreparedModel:
    return prepared_model(tmp_path_factory.mktemp("tiny"))
