import pytest

from gateway.core.runtime import Catalog, Model
from sixpoint.errors import ModelNotFound, TritonUnavailable
from tests.support.models import ELLIPSOID_SPEC

MODELS = {name: Model(name, "1", ELLIPSOID_SPEC) for name in ("spleen", "annotation")}


def test_before_the_first_look_nothing_can_be_said() -> None:
    catalog = Catalog()
    assert not catalog.ready
    with pytest.raises(TritonUnavailable) as caught:
        catalog.get("annotation")
    assert caught.value.retry_after


def test_models_are_listed_by_name_and_found() -> None:
    catalog = Catalog()
    catalog.update(MODELS)
    assert catalog.ready
    assert [model.name for model in catalog.list()] == ["annotation", "spleen"]
    assert catalog.get("spleen").version == "1"


def test_an_unknown_model_names_those_that_there_are() -> None:
    catalog = Catalog()
    catalog.update(MODELS)
    with pytest.raises(ModelNotFound, match="there are: annotation, spleen"):
        catalog.get("liver")


def test_a_lost_triton_is_not_an_unknown_model() -> None:
    catalog = Catalog()
    catalog.update(MODELS)
    catalog.mark_unreachable()
    assert not catalog.ready
    with pytest.raises(TritonUnavailable):
        catalog.get("annotation")
    with pytest.raises(TritonUnavailable):
        catalog.list()


def test_a_triton_without_models_is_not_ready() -> None:
    catalog = Catalog()
    catalog.update({})
    assert not catalog.ready
    with pytest.raises(ModelNotFound, match="none"):
        catalog.get("annotation")
