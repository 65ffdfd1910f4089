"""What docs/how-to/kubernetes.md tells people to write is taken by the chart, and by Kubernetes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from helm.values import Values, ValuesModel
from tests.docs.blocks import read_blocks
from tests.helm.support.charts import Document, render
from tests.helm.support.object_checks import OBJECT_CHECKS
from tests.helm.support.pod_checks import POD_CHECKS
from tests.helm.support.schemas import invalid
from tests.helm.support.sixpoint_checks import SIXPOINT_CHECKS
from tests.support.paths import ROOT

PAGE = ROOT / "docs" / "how-to" / "kubernetes.md"
BLOCKS = {block.place: yaml.safe_load(block.text) for block in read_blocks(PAGE) if block.language == "yaml"}
VALUES = {place: block for place, block in BLOCKS.items() if "apiVersion" not in block}
CHECKS = (*POD_CHECKS, *OBJECT_CHECKS, *SIXPOINT_CHECKS)


def keys(model: type[ValuesModel], prefix: str = "") -> Iterator[str]:
    """Every key of the values, as it is written after --set."""
    for name, field in model.model_fields.items():
        path = f"{prefix}{field.alias or name}"
        yield path
        if isinstance(field.annotation, type) and issubclass(field.annotation, ValuesModel):
            yield from keys(field.annotation, f"{path}.")


@pytest.mark.parametrize("place", VALUES)
def test_values_of_the_page_are_sound(place: str) -> None:
    documents = render(VALUES[place])
    assert [f"{check.__name__}: {fault}" for check in CHECKS for fault in check(documents)] == []
    assert invalid(documents) == []


@pytest.mark.parametrize("page", [PAGE, ROOT / "helm" / "README.head.md"], ids=lambda page: page.name)
def test_values_that_a_page_names_exist(page: Any) -> None:
    existing = set(keys(Values))
    tops = "|".join(field.alias or name for name, field in Values.model_fields.items())
    named = re.findall(rf"(?:`|--set |=|, )((?:{tops})\.[\w.]+)(?=[`=,: \n])", page.read_text())
    assert [name for name in named if name not in existing and not name.startswith("gateway.settings.")] == []
    assert len(named) > (10 if page == PAGE else 1)


def test_the_job_of_the_page_is_valid_hardened_and_let_through() -> None:
    job: Document = next(block for block in BLOCKS.values() if block.get("kind") == "Job")
    assert invalid([job]) == []
    job["spec"]["template"]["spec"]["serviceAccountName"] = "default"
    job["metadata"]["labels"] = {}
    assert [fault for check in POD_CHECKS for fault in check([job])] == []
    labels = job["spec"]["template"]["metadata"]["labels"]
    policies = [d["spec"] for d in render({}, release="sixpoint") if d["kind"] == "NetworkPolicy"]
    over = [policy for policy in policies if policy["podSelector"]["matchLabels"].items() <= labels.items()]
    assert sum(len(policy.get("egress", [])) for policy in over) == 3
    assert [
        p for p in policies for rule in p.get("ingress", []) if {"podSelector": {"matchLabels": labels}} in rule["from"]
    ]
    names = [d["metadata"]["name"] for d in render({}, release="sixpoint") if d["kind"] == "Service"]
    address = next(word for word in job["spec"]["template"]["spec"]["containers"][0]["args"] if word.startswith("dns:"))
    assert address.removeprefix("dns:///").partition(".")[0] in names
