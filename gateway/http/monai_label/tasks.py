"""Batches, training and scoring: MONAI Label's tasks, which are jobs here."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from datetime import datetime

from fastapi import Response
from fastapi.responses import JSONResponse

from gateway.core.access import Principal, Role
from gateway.core.jobs import ENDED, JobRow, Jobs, JobState
from gateway.core.runtime import Catalog, DeadlineLimits
from gateway.http.calls import Call, Handler
from gateway.http.door import HttpRoute
from gateway.http.forms import read_object
from gateway.http.monai_label.samples import Samples
from gateway.http.monai_label.training import describe_trainers, describe_trainings, training_parameters
from sixpoint.errors import FailedPrecondition, InvalidArgument, NotFound, ResourceExhausted, SixpointError
from sixpoint.errors.shortening import quoted

__all__ = ["NO_DATASET", "Tasks"]

NO_DATASET = (
    "labels are not stored here: the gateway's setting SIXPOINT_VIEWER_DATASET names no dataset; save the segmentation "
    "in the viewer"
)
_NO_TRAINING = (
    "training is not started from viewers here: no worker runs jobs of the kind train (SIXPOINT_WORKER_KINDS); ask "
    "whoever manages the gateway for one, or train by hand (sixpoint loop, or sixpoint dataset export and trainer "
    "train)"
)
_NO_SCORING = (
    "nothing is scored on request: sixpoint dataset agreement compares what people saved, trainer evaluate measures a "
    "model"
)
_BATCH, _TRAINING = "segment", "train"
_STATUS = {
    JobState.QUEUED: "SUBMITTED",
    JobState.RUNNING: "RUNNING",
    JobState.PAUSED: "STOPPED",
    JobState.SUCCEEDED: "DONE",
    JobState.FAILED: "ERROR",
    JobState.CANCELLED: "STOPPED",
}
_DETAILS = 20
# The latest jobs, among which tasks are looked for.
_PAGE, _PAGES = 50, 4
_RETRY_SECONDS = 30.0
_SERVER_ONLY = frozenset({"dataset", "start_model", "digests", "model"})


class Tasks:
    """Starts, shows and stops tasks.

    Args:
        jobs: All jobs.
        catalog: Models that can be used now.
        samples: Images of the dataset.
        dataset: Name of the dataset whose images a batch segments, and a training learns from; empty for none.
    """

    def __init__(self, *, jobs: Jobs, catalog: Catalog, samples: Samples, dataset: str) -> None:
        self._jobs = jobs
        self._catalog = catalog
        self._samples = samples
        self._dataset = dataset

    def routes(self, deadlines: DeadlineLimits) -> list[HttpRoute]:
        """The routes.

        Args:
            deadlines: Deadline of the calls.
        """

        def route(method: str, path: str, handle: Handler, role: Role) -> HttpRoute:
            return HttpRoute(method, path, handle, role, deadlines, short=True)

        return [
            route("GET", "/batch/infer", self._status(_BATCH, "batch"), Role.VIEWER),
            route("POST", "/batch/infer/{model}", self._start_batch, Role.ENGINEER),
            route("DELETE", "/batch/infer", self._stop(_BATCH), Role.ENGINEER),
            route("GET", "/train/", self._status(_TRAINING, "training"), Role.VIEWER),
            route("POST", "/train/", self._start_trainings, Role.ENGINEER),
            route("POST", "/train/{model}", self._start_training, Role.ENGINEER),
            route("DELETE", "/train/", self._stop(_TRAINING), Role.ENGINEER),
            route("GET", "/scoring/", _refuse(_NO_SCORING), Role.VIEWER),
            # There is no method of scoring, so that all of them are started and stopped at once.
            route("POST", "/scoring/", _answer({}), Role.ENGINEER),
            route("POST", "/scoring/{method}", _refuse(_NO_SCORING), Role.ENGINEER),
            route("DELETE", "/scoring/", _answer(None), Role.ENGINEER),
        ]

    def trainers(self, principal: Principal) -> dict[str, object]:
        """The trainers of ``/info/``: none unless workers train, on a dataset, for who may start them."""
        if not (self._trains and principal.has(Role.ENGINEER)):
            return {}
        return describe_trainers(self._catalog.list(tenant=principal.tenant))

    async def trainings(self, principal: Principal) -> dict[str, object]:
        """The ``train_stats`` of ``/info/``."""
        return describe_trainings(await self._tasks(principal, _TRAINING, pages=1)) if self._trains else {}

    @property
    def _trains(self) -> bool:
        return bool(self._dataset) and self._jobs.takes(_TRAINING)

    async def _start_batch(self, call: Call) -> Response:
        """``POST /batch/infer/{model}``: segment the images of the dataset in the background."""
        query, params = call.request.query_params, await read_object(call)
        images = query.get("images", "all")
        if images == "labeled":
            raise InvalidArgument("images=labeled is not possible: what people saved is left as it is; ask for all")
        if images not in ("all", "unlabeled"):
            raise InvalidArgument(f"images is {quoted(images)}; expected all or unlabeled")
        _refuse_sync(call, "batch/infer")
        if params.get("save_label", True) is False:
            raise InvalidArgument("params.save_label is false, but a batch saves its labels, as drafts; leave it out")
        await self._require_idle(call, _BATCH, "batch/infer")
        parameters: dict[str, object] = {"dataset": self._dataset, "model": call.request.path_params["model"]}
        if images == "unlabeled":
            waiting = [sample.digest for sample in await self._samples.all(call.principal) if not sample.saved]
            # None at all would mean every image, and what a job skips anyway need not be named.
            parameters |= {"digests": waiting} if waiting else {}
        row = await self._jobs.create(_BATCH, parameters, principal=call.principal)
        return JSONResponse(await self._describe(call, row))

    async def _start_training(self, call: Call) -> Response:
        """``POST /train/{model}``: train a model further on what people accepted, in the background."""
        params = await read_object(call)
        self._require_training()
        _refuse_sync(call, "train/")
        if not _is_true(call.request.query_params.get("enqueue", "")):
            await self._require_idle(call, _TRAINING, "train/")
        return JSONResponse(await self._train(call, call.request.path_params["model"], params))

    async def _start_trainings(self, call: Call) -> Response:
        """``POST /train/``, as OHIF asks: train the models that the body names with their parameters; without, all."""
        params = await read_object(call)
        self._require_training()
        _refuse_sync(call, "train/")
        named = {name: value for name, value in params.items() if isinstance(value, Mapping)}
        trainers = self.trainers(call.principal)
        if not named and len(trainers) != 1:
            raise InvalidArgument(
                f"the body names no model; expected an object for each model to train, such as "
                f'{{"{next(iter(trainers), "annotation")}": {{}}}}, of: {", ".join(trainers) or "none"}'
            )
        tasks, errors = dict[str, object](), list[SixpointError]()
        for name, value in (named or {each: {} for each in trainers}).items():
            try:
                tasks[name] = {"result": await self._train(call, name, value), "detail": None}
            except SixpointError as error:
                errors.append(error)
                tasks[name] = {"result": None, "detail": error.message}
        if len(errors) == len(tasks):
            raise errors[0]
        return JSONResponse(tasks)

    async def _train(self, call: Call, name: str, params: Mapping[str, object]) -> dict[str, object]:
        model = self._catalog.get(name, tenant=call.principal.tenant)
        parameters = training_parameters(params, model, dataset=self._dataset)
        row = await self._jobs.create(_TRAINING, parameters, principal=call.principal)
        return await self._describe(call, row)

    def _require_training(self) -> None:
        if not self._jobs.takes(_TRAINING):
            raise NotFound(_NO_TRAINING)
        if not self._dataset:
            raise FailedPrecondition(NO_DATASET)

    async def _require_idle(self, call: Call, kind: str, path: str) -> None:
        if not self._dataset:
            raise FailedPrecondition(NO_DATASET)
        if any(row.state not in ENDED for row in await self._tasks(call.principal, kind)):
            raise ResourceExhausted(
                f"such a task runs or waits; ask GET /{path} how far it is, or stop it (DELETE /{path})",
                retry_after=_RETRY_SECONDS,
            )

    def _status(self, kind: str, what: str) -> Handler:
        async def show(call: Call) -> Response:
            """``GET /batch/infer``, ``GET /train/``: the latest task; all of them, or the one that runs, if asked."""
            query, rows = call.request.query_params, await self._tasks(call.principal, kind)
            if _is_true(query.get("check_if_running", "")):
                rows = [row for row in rows if row.state not in ENDED]
            if not rows:
                runs = kind != _TRAINING or self._jobs.takes(kind)
                raise NotFound(f"there is no {what} of this kind; start one" if runs else _NO_TRAINING)
            if _is_true(query.get("all", "")):
                return JSONResponse([await self._describe(call, row) for row in reversed(rows)])
            return JSONResponse(await self._describe(call, rows[0]))

        return show

    def _stop(self, kind: str) -> Handler:
        async def stop(call: Call) -> Response:
            """``DELETE /batch/infer``, ``DELETE /train/``: cancel the task that runs or waits; null without one."""
            for row in await self._tasks(call.principal, kind):
                if row.state not in ENDED:
                    stopped = await self._jobs.cancel(row.id, principal=call.principal)
                    return JSONResponse(await self._describe(call, stopped, status="STOPPED"))
            return JSONResponse(None)

        return stop

    async def _tasks(self, principal: Principal, kind: str, *, pages: int = _PAGES) -> list[JobRow]:
        """The latest jobs of a kind, of this dataset where they have one; the latest first."""
        rows: list[JobRow] = []
        token = ""
        for _ in range(pages):
            page = await self._jobs.page(principal=principal, size=_PAGE, token=token)
            rows += [row for row in page.entries if row.kind == kind and self._is_ours(row)]
            token = page.next_token
            if not token:
                break
        return rows

    def _is_ours(self, row: JobRow) -> bool:
        return not self._dataset or row.parameters.get("dataset", self._dataset) == self._dataset

    async def _describe(self, call: Call, row: JobRow, *, status: str = "") -> dict[str, object]:
        lines = deque[str](maxlen=_DETAILS)
        after = 0
        while True:
            page = await self._jobs.lines(row.id, principal=call.principal, size=1000, after=after)
            lines.extend(line.text for line in page.entries)
            if not page.next_token:
                break
            after = int(page.next_token)
        if row.error:
            lines.append(row.error)
        described: dict[str, object] = {
            "id": row.id,
            "status": status or _STATUS[row.state],
            "request": _request(row),
            "start_ts": _moment(row.started or row.created),
            "details": list(lines),
        }
        return described | ({"end_ts": _moment(row.ended)} if row.ended else {})


def _request(row: JobRow) -> dict[str, object]:
    if row.kind == _TRAINING:
        own = {name: value for name, value in row.parameters.items() if value is not None and name not in _SERVER_ONLY}
        return {"model": row.parameters.get("start_model") or "", **own}
    digests = row.parameters.get("digests")
    chosen = isinstance(digests, Sequence) and bool(digests)
    return {"model": row.parameters.get("model", ""), "images": "unlabeled" if chosen else "all"}


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M:%S")


def _refuse_sync(call: Call, path: str) -> None:
    if _is_true(call.request.query_params.get("run_sync", "")):
        raise InvalidArgument(f"run_sync is not possible: start the task, and ask GET /{path} how far it is")


def _is_true(text: str) -> bool:
    return text.lower() in ("true", "1", "on", "yes", "t", "y")


def _refuse(reason: str) -> Handler:
    async def refuse(call: Call) -> Response:
        del call
        raise NotFound(reason)

    return refuse


def _answer(content: object) -> Handler:
    async def answer(call: Call) -> Response:
        del call
        return JSONResponse(content)

    return answer
