"""Images: the datastore of MONAI Label, over the gateway's own images and sessions."""

from __future__ import annotations

from fastapi import Response
from fastapi.responses import JSONResponse

from gateway.core.images import ImageStore
from gateway.core.runtime import Catalog
from gateway.http.calls import Call
from gateway.http.forms import read_object
from gateway.http.monai_label.info import STRATEGIES, describe
from gateway.http.monai_label.samples import Sample, Samples
from gateway.http.windows.handles import ImageHandle
from gateway.http.windows.names import ImageNames
from gateway.http.windows.sessions import ClientSessions, image_file_name
from sixpoint.errors import NotFound
from sixpoint.errors.shortening import quoted

__all__ = ["Datastore"]


class Datastore:
    """Takes and gives images, and tells which of them to annotate next.

    Args:
        images: All images.
        samples: Images to annotate.
        catalog: Models that can be used now.
        clients: Takes and sends images.
        names: Names that clients gave to images.
    """

    def __init__(
        self,
        *,
        images: ImageStore,
        samples: Samples,
        catalog: Catalog,
        clients: ClientSessions,
        names: ImageNames,
    ) -> None:
        self._images = images
        self._samples = samples
        self._catalog = catalog
        self._clients = clients
        self._names = names

    async def info(self, call: Call) -> Response:
        """``GET /info/``."""
        samples = await self._samples.all(call.principal)
        completed = sum(sample.annotated for sample in samples)
        return JSONResponse(
            describe(
                self._catalog.list(tenant=call.principal.tenant),
                labels=await self._samples.labels(call.principal),
                total=len(samples),
                completed=completed,
            )
        )

    async def summary(self, call: Call) -> Response:
        """``GET /datastore/``: images of the dataset, or those that the caller opened."""
        samples = await self._samples.all(call.principal)
        output = call.request.query_params.get("output", "stats")
        if output == "train":
            return JSONResponse([])
        if output == "all":
            objects = {sample.digest: _describe_sample(sample) for sample in samples}
            return JSONResponse({"name": "sixpoint", "description": "", "objects": objects})
        completed = sum(sample.annotated for sample in samples)
        return JSONResponse({"total": len(samples), "completed": completed, "label_tags": {}})

    async def put_image(self, call: Call) -> Response:
        """``PUT /datastore/``: take an image. Its id is its digest; it is also found by the name that came with it."""
        record, _ = await self._clients.upload(call, "file")
        if name := call.request.query_params.get("image"):
            self._names.remember(call.principal, name, record.digest)
        await self._samples.add(call.principal, record.digest)
        await self._clients.announce(call, ImageHandle(record.digest))
        return JSONResponse({"image": record.digest})

    async def get_image(self, call: Call) -> Response:
        """``GET /datastore/image``: the image as NRRD."""
        handle = self._names.find(call.principal, call.request.query_params.get("image", ""))
        record = await self._images.describe(handle.digest, principal=call.principal)
        return await self._clients.download(call, record)

    async def image_info(self, call: Call) -> Response:
        """``GET /datastore/image/info``."""
        handle = self._names.find(call.principal, call.request.query_params.get("image", ""))
        record = await self._images.describe(handle.digest, principal=call.principal)
        return JSONResponse({"ts": int(record.created), "name": image_file_name(record.digest)})

    async def next_sample(self, call: Call) -> Response:
        """``POST /activelearning/{strategy}``: an image without annotation; {} for none."""
        await read_object(call)
        strategy = call.request.path_params["strategy"]
        if strategy not in STRATEGIES:
            raise NotFound(f"there is no strategy {quoted(strategy)}; there are: {', '.join(STRATEGIES)}")
        chosen = await self._samples.next(call.principal, strategy)
        if chosen is None:
            return JSONResponse({})
        return JSONResponse(
            {
                "id": chosen.digest,
                "name": image_file_name(chosen.digest),
                "ts": int(chosen.created),
                "strategy": {strategy: {"ts": int(chosen.created)}},
            }
        )


def _describe_sample(sample: Sample) -> dict[str, object]:
    return {
        "image": {"ext": ".nrrd", "info": {"ts": int(sample.created), "name": image_file_name(sample.digest)}},
        "labels": {"final": {"ext": ".nrrd", "info": {}}} if sample.saved else {},
    }
