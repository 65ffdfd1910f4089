"""Images: the datastore of MONAI Label, over the gateway's own images and sessions."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Mapping

import numpy as np
from fastapi import Response
from fastapi.responses import JSONResponse

from gateway.core.images import ImageStore
from gateway.core.runtime import Catalog
from gateway.http.calls import Call
from gateway.http.dicomweb import SeriesImages
from gateway.http.forms import read_object
from gateway.http.monai_label.info import describe
from gateway.http.monai_label.labels import Labels
from gateway.http.monai_label.samples import Sample, Samples
from gateway.http.monai_label.tasks import Tasks
from gateway.http.windows.handles import ImageHandle
from gateway.http.windows.names import ImageNames
from gateway.http.windows.sessions import ClientSessions, image_file_header, image_file_name
from sixpoint.errors import InvalidArgument, NotFound
from sixpoint.errors.shortening import quoted

__all__ = ["Datastore"]

_CHECKSUMS = ("SHA256", "SHA512", "MD5")


class Datastore:
    """Takes and gives images, and tells which of them to annotate next.

    Args:
        images: All images.
        samples: Images to annotate.
        catalog: Models that can be used now.
        clients: Takes and sends images.
        names: Names that clients gave to images.
        labels: What people saved.
        tasks: What can be trained, and how far trainings are.
        series: Finds series of the DICOMweb server; None without one.
    """

    def __init__(
        self,
        *,
        images: ImageStore,
        samples: Samples,
        catalog: Catalog,
        clients: ClientSessions,
        names: ImageNames,
        labels: Labels,
        tasks: Tasks,
        series: SeriesImages | None = None,
    ) -> None:
        self._images = images
        self._samples = samples
        self._catalog = catalog
        self._clients = clients
        self._names = names
        self._labels = labels
        self._tasks = tasks
        self._series = series

    async def info(self, call: Call) -> Response:
        """``GET /info/``."""
        samples = await self._samples.all(call.principal)
        completed = sum(sample.annotated for sample in samples)
        return JSONResponse(
            describe(
                self._catalog.list(tenant=call.principal.tenant),
                labels=await self._samples.labels(call.principal),
                strategies=self._samples.strategies,
                trainers=self._tasks.trainers(call.principal),
                trainings=await self._tasks.trainings(call.principal),
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
        labels = await self._labels.described(call)
        if output == "all":
            objects = {sample.digest: _describe_sample(sample, labels.get(sample.digest, {})) for sample in samples}
            place = {"images_dir": ".", "labels_dir": "labels"}
            return JSONResponse({"name": "sixpoint", "description": "", **place, "objects": objects})
        completed = sum(sample.annotated for sample in samples)
        tags = Counter(tag for sample in samples for tag in labels.get(sample.digest, {}))
        return JSONResponse({"total": len(samples), "completed": completed, "label_tags": tags})

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

    async def check_image(self, call: Call) -> Response:
        """``HEAD /datastore/image``: whether an image is there, and its file has a checksum."""
        query = call.request.query_params
        handle = self._names.find(call.principal, query.get("image", ""))
        record = await self._images.describe(handle.digest, principal=call.principal)
        if query.get("check_sum"):
            algorithm, expected = _read_checksum(query["check_sum"])
            image = await self._images.open(record.digest, tenant=call.principal.tenant)
            found = hashlib.new(algorithm, image_file_header(record), usedforsecurity=False)
            await asyncio.to_thread(
                found.update, np.ascontiguousarray(image.volume.array).reshape(-1).view(np.uint8).data
            )
            if found.hexdigest() != expected:
                raise NotFound("the image has another checksum; download it again")
        length = len(image_file_header(record)) + record.byte_count
        return Response(headers={"content-length": str(length), "content-type": "application/octet-stream"})

    async def image_info(self, call: Call) -> Response:
        """``GET /datastore/image/info``."""
        handle = self._names.find(call.principal, call.request.query_params.get("image", ""))
        record = await self._images.describe(handle.digest, principal=call.principal)
        return JSONResponse({"ts": int(record.created), "name": image_file_name(record.digest)})

    async def next_sample(self, call: Call) -> Response:
        """``POST /activelearning/{strategy}``: an image without annotation, and its series; {} for none."""
        client = (await read_object(call)).get("client_id")
        strategy, known = call.request.path_params["strategy"], self._samples.strategies
        if strategy not in known:
            raise NotFound(f"there is no strategy {quoted(strategy)}; there are: {', '.join(known)}")
        chosen = await self._samples.next(call.principal, strategy)
        if chosen is None:
            return JSONResponse({})
        return JSONResponse(
            {
                "id": chosen.digest,
                "name": image_file_name(chosen.digest),
                "ts": int(chosen.created),
                "strategy": {
                    strategy: {
                        "ts": int(chosen.created),
                        "reason": chosen.reason,
                        **({"client_id": client} if isinstance(client, str) else {}),
                    }
                },
                **(await self._series.origins.describe(call.principal, chosen.digest) if self._series else {}),
            }
        )


def _describe_sample(sample: Sample, labels: Mapping[str, object]) -> dict[str, object]:
    return {
        "image": {"ext": ".nrrd", "info": {"ts": int(sample.created), "name": image_file_name(sample.digest)}},
        "labels": labels,
    }


def _read_checksum(text: str) -> tuple[str, str]:
    """Algorithm and hexadecimal digits of a checksum: ``SHA512:...``, or digits of SHA-256 alone."""
    algorithm, separator, digits = text.rpartition(":")
    if not separator:
        algorithm = "SHA256"
    if algorithm not in _CHECKSUMS:
        raise InvalidArgument(f"check_sum has the algorithm {quoted(algorithm)}; expected {', '.join(_CHECKSUMS)}")
    return algorithm.lower(), digits.lower()
