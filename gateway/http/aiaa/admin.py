"""``/admin/model/{name}``: what AIAA's operators ask of models, in a gateway that only reads them."""

from __future__ import annotations

from fastapi import Response
from fastapi.responses import JSONResponse

from gateway.core.runtime import Catalog
from gateway.http.aiaa.models import OfferedModel, find_model
from gateway.http.calls import Call
from sixpoint.errors import FailedPrecondition, PermissionDenied

__all__ = ["ModelCalls"]


class ModelCalls:
    """Describes models, and says who changes them, and how.

    AIAA took weights, zips, and configurations that name classes to run, from whoever reached it. Here the exporter
    reads them as data, compares the result with its source, and publishes it.

    Args:
        catalog: Models that can be used now.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    async def describe(self, call: Call) -> Response:
        """``GET``: what AIAA calls the configuration is our description of the model."""
        offered = self._find(call)
        return JSONResponse({**offered.describe(), "sixpoint": offered.model.spec.model_dump(mode="json")})

    async def add(self, call: Call) -> Response:
        """``PUT``: refuse a model that comes as files, or by its place at NGC.

        Raises:
            PermissionDenied: It comes as files: what they hold would run.
            FailedPrecondition: It is to be fetched.
        """
        if call.request.headers.get("content-type", "").startswith("multipart/"):
            raise PermissionDenied(
                "models are not taken over HTTP, from no role: TorchScript files, and the classes that a "
                "config_aiaa.json names, are programs. Whoever manages this gateway exports the folder as data: "
                "exporter publish FOLDER --name NAME"
            )
        raise FailedPrecondition(
            "this gateway fetches no models; whoever manages it does: exporter pull ngc:NAME, then exporter publish"
        )

    async def change(self, call: Call) -> Response:
        """``PATCH``: refuse another configuration.

        Raises:
            ModelNotFound: There is no such model.
            FailedPrecondition: There is.
        """
        name = self._find(call).model.name
        raise FailedPrecondition(
            f"what model {name!r} says about itself is part of its version, which was compared with its source; change "
            "its spec, and publish a new version (exporter publish)"
        )

    async def remove(self, call: Call) -> Response:
        """``DELETE``: refuse to remove a model.

        Raises:
            ModelNotFound: There is no such model.
            FailedPrecondition: There is.
        """
        model = self._find(call).model
        raise FailedPrecondition(
            f"the gateway only reads Triton's models; whoever manages them removes this version of {model.name!r}: "
            f"exporter remove {model.name} {model.version}"
        )

    def _find(self, call: Call) -> OfferedModel:
        return find_model(call.request.path_params["name"], self._catalog, tenant=call.principal.tenant)
