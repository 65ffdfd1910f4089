"""What several Tritons serve together, while a version is published, rolled back, or on some of them only."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.core.runtime import Model
from gateway.triton.pool_catalog import merge
from sixpoint.model_spec import Candidate
from tests.support.models import CLICKS_SPEC, ELLIPSOID_SPEC


def model(version: str, candidate: Candidate | None = None) -> Model:
    return Model("liver", version, ELLIPSOID_SPEC, candidate)


def test_the_newest_version_counts_and_is_asked_where_it_was_tried() -> None:
    trial = Candidate("2", 0.0)
    for order in (1, -1):
        served = merge(dict([("a", {"liver": model("1", trial)}), ("b", {"liver": model("2")}), ("c", {})][::order]))
        assert served.models == {"liver": replace(model("2"), in_flight=4)}, "two of them answer at once"
        assert set(served.serving("liver", "2")) == {"a", "b"}
        assert served.serving("liver", "1") == ["a"]


def test_a_trial_that_only_one_has_counts_and_is_asked_there_alone() -> None:
    trial = Candidate("2", 0.5)
    for order in (1, -1):
        served = merge(dict([("a", {"liver": model("1", trial)}), ("b", {"liver": model("1")})][::order]))
        assert served.models["liver"].candidate == trial
        assert served.serving("liver", "2") == ["a"]
        assert set(served.serving("liver", "1")) == {"a", "b"}


def test_a_version_that_none_has_is_asked_of_those_that_have_the_model() -> None:
    served = merge({"a": {"liver": model("3")}, "b": {}})
    assert served.serving("liver", "2") == ["a"]
    assert served.serving("spleen", "2") == []


def test_figures_may_differ_but_tensors_may_not() -> None:
    measured = ELLIPSOID_SPEC.model_copy(update={"metrics": {"dice": 0.9}, "title": "Better"})
    served = merge(
        {
            "a": {"liver": Model("liver", "1", ELLIPSOID_SPEC)},
            "b": {"liver": Model("liver", "2", measured, Candidate("1", 0.0))},
            "c": {"liver": Model("liver", "1", CLICKS_SPEC)},
        }
    )
    assert served.models["liver"].spec == measured
    assert served.serving("liver", "1") == ["a", "b"]
    assert served.different == {("liver", "c")}


_NORTH = frozenset({"north"})


@pytest.mark.parametrize(
    ("first", "second", "together"),
    [
        (None, None, None),
        (None, _NORTH, _NORTH),
        (frozenset({"north", "south"}), _NORTH, _NORTH),
        (_NORTH, frozenset({"south"}), frozenset()),
    ],
)
def test_whoever_one_triton_leaves_out_sees_no_model(
    first: frozenset[str] | None, second: frozenset[str] | None, together: frozenset[str] | None
) -> None:
    models = [Model("m", "1", ELLIPSOID_SPEC, tenants=each) for each in (first, second)]
    for order in (models, models[::-1]):
        served = merge({number: {"m": model} for number, model in enumerate(order)})
        assert served.models["m"].tenants == together
