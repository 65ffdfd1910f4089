from dataclasses import replace

import pytest

from gateway.core.runtime import Catalog, Model
from sixpoint.errors import ModelNotFound, TritonUnavailable
from tests.support.models import ELLIPSOID_SPEC

MODELS = {name: Model(name, "1", ELLIPSOID_SPEC) for name in ("spleen", "annotation")}


def test_before_the_first_look_nothing_can_be_said() -> None:
    catalog = Catalog()
    assert not catalog.ready
    with pytest.raises(TritonUnavailable) as caught:
        catalog.get("annotation", tenant="default")
    assert caught.value.retry_after


def test_models_are_listed_by_name_and_found() -> None:
    catalog = Catalog()
    catalog.update(MODELS)
    assert catalog.ready
    assert [model.name for model in catalog.list(tenant="default")] == ["annotation", "spleen"]
    assert catalog.get("spleen", tenant="default").version == "1"


def test_an_unknown_model_names_those_that_there_are() -> None:
    catalog = Catalog()
    catalog.update(MODELS)
    with pytest.raises(ModelNotFound, match="there are: annotation, spleen"):
        catalog.get("liver", tenant="default")


def test_a_lost_triton_is_not_an_unknown_model() -> None:
    catalog = Catalog()
    catalog.update(MODELS)
    catalog.mark_unreachable()
    assert not catalog.ready
    with pytest.raises(TritonUnavailable):
        catalog.get("annotation", tenant="default")
    with pytest.raises(TritonUnavailable):
        catalog.list(tenant="default")


def test_a_triton_without_models_is_not_ready() -> None:
    catalog = Catalog()
    catalog.update({})
    assert not catalog.ready
    with pytest.raises(ModelNotFound, match="none"):
        catalog.get("annotation", tenant="default")


def test_a_model_is_there_for_its_tenants_only() -> None:
    catalog = Catalog()
    hidden = replace(MODELS["spleen"], tenants=frozenset({"north"}))
    catalog.update({**MODELS, "spleen": hidden}, away={"far": replace(hidden, name="far")})
    assert [model.name for model in catalog.list(tenant="north")] == ["annotation", "spleen"]
    assert [model.name for model in catalog.list(tenant="south")] == ["annotation"]
    assert catalog.get("spleen", tenant="north") is hidden
    with pytest.raises(ModelNotFound, match=r"there are: annotation$"):
        catalog.get("spleen", tenant="south")
    with pytest.raises(TritonUnavailable):
        catalog.get("far", tenant="north")
    with pytest.raises(ModelNotFound):
        catalog.get("far", tenant="south")
