"""What the edges call, gRPC and HTTP alike, put together once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor import ServiceDescriptor

from gateway.contract import (
    AnnotationCalls,
    DatasetCalls,
    ImageCalls,
    JobCalls,
    LearningCalls,
    ModelCalls,
    SessionCalls,
)
from gateway.core.access import Auditor, CallLimits, Principal
from gateway.core.annotation.annotator import Annotator
from gateway.core.datasets import Annotations, AnnotationSaver, Assignments, Datasets, ImageRemoval, ModelDrafts
from gateway.core.images import ImageStore
from gateway.core.jobs import (
    DatasetFolders,
    DraftComparer,
    EvaluateJobs,
    ExportJobs,
    ImportJobs,
    JobKinds,
    JobRow,
    Jobs,
    ProgramPlace,
    PublishJobs,
    SegmentJobs,
    TrainJobs,
)
from gateway.core.learning import Learning, LearnJobs, StartJob
from gateway.core.runtime import Admission, Catalog, CorePool, Inference, Observer
from gateway.core.runtime.fairness import Places, Transfers, Turns
from gateway.core.segmentation.segmenter import Segmenter
from gateway.core.sessions import Engine, Sessions
from gateway.from_settings import principal_limits, short_calls, transfers
from gateway.settings import Settings
from gateway.stores import Stores
from sixpoint.environment import REPOSITORY_VARIABLE
from sixpoint.v1 import (
    annotation_service_pb2,
    dataset_service_pb2,
    image_service_pb2,
    job_service_pb2,
    learning_service_pb2,
    model_service_pb2,
    session_service_pb2,
)

__all__ = ["Services", "Workers", "make_services"]


@dataclass(frozen=True)
class Services:
    """What the edges call.

    Attributes:
        images: All images.
        sessions: All sessions.
        catalog: Models that can be used now.
        engine: Carries out calls on segments.
        datasets: All datasets.
        annotations: All saved annotations.
        saver: Saves annotations.
        assignments: Gives images to annotators.
        removal: Traces and removes images of datasets.
        segmenter: Segments whole images.
        jobs: All jobs.
        job_kinds: Kinds of jobs.
        learning: The learning of datasets.
        uploads: Places of uploads.
        transfers: Turns and pace of uploads and downloads.
        prompts: Limits the prompts that run or wait, and their memory.
        limits: Limits of what one principal may do in a time, through all edges together.
        auditor: Takes notes of what changes nothing.
        turns: Turns of short calls.
    """

    images: ImageStore
    sessions: Sessions
    catalog: Catalog
    engine: Engine
    datasets: Datasets
    annotations: Annotations
    saver: AnnotationSaver
    assignments: Assignments
    removal: ImageRemoval
    segmenter: Segmenter
    jobs: Jobs
    job_kinds: JobKinds
    learning: Learning
    uploads: Places
    transfers: Transfers
    prompts: Admission
    limits: CallLimits
    auditor: Auditor
    turns: Turns

    def dataset_calls(self) -> DatasetCalls:
        """The calls of the contract on datasets."""
        return DatasetCalls(
            datasets=self.datasets,
            annotations=self.annotations,
            saver=self.saver,
            assignments=self.assignments,
            removal=self.removal,
        )

    def job_calls(self) -> JobCalls:
        """The calls of the contract on jobs."""
        return JobCalls(self.jobs)

    def learning_calls(self) -> LearningCalls:
        """The calls of the contract on learning."""
        return LearningCalls(self.learning)

    def unary_calls(self) -> list[tuple[ServiceDescriptor, object]]:
        """Each service of the contract, with what carries out its unary calls."""
        by_file = (
            (model_service_pb2, ModelCalls(self.catalog)),
            (image_service_pb2, ImageCalls(self.images)),
            (session_service_pb2, SessionCalls(sessions=self.sessions, catalog=self.catalog)),
            (annotation_service_pb2, AnnotationCalls(self.engine)),
            (dataset_service_pb2, self.dataset_calls()),
            (job_service_pb2, self.job_calls()),
            (learning_service_pb2, self.learning_calls()),
        )
        return [(service, calls) for file, calls in by_file for service in file.DESCRIPTOR.services_by_name.values()]


@dataclass(frozen=True)
class Workers:
    """Threads for blocking work.

    Attributes:
        prompts: Threads for prompts.
        segmentations: Threads for segmentations.
        cores: Runs two halves of a prompt side by side.
    """

    prompts: Executor
    segmentations: Executor
    cores: CorePool


def make_services(
    settings: Settings,
    stores: Stores,
    *,
    catalog: Catalog,
    inference: Inference,
    observer: Observer,
    workers: Workers,
    admissions: tuple[Admission, Admission],
    uploads: Places,
) -> Services:
    """Put together what the edges call.

    Args:
        settings: Settings of the gateway.
        stores: Stores of the gateway.
        catalog: Models that can be used now.
        inference: Runs networks.
        observer: Told of finished work.
        workers: Threads for blocking work.
        admissions: Limits of prompts, and of segmentations.
        uploads: Places of uploads.
    """
    prompts, segmentations = admissions
    annotator = Annotator(inference=inference, executor=workers.prompts, run_pair=workers.cores.run_pair)
    engine = Engine(
        history=stores.history,
        images=stores.images,
        catalog=catalog,
        annotator=annotator,
        admission=prompts,
        observer=observer,
        auditor=stores.auditor,
    )
    segmenter = Segmenter(
        images=stores.images,
        catalog=catalog,
        inference=inference,
        executor=workers.segmentations,
        admission=segmentations,
        observer=observer,
        auditor=stores.auditor,
        memory=settings.segmentation_memory_bytes,
        in_flight=settings.segmentation_patches,
    )
    comparer = DraftComparer(images=stores.images, catalog=catalog, annotator=annotator, admission=prompts)
    saver = AnnotationSaver(
        repository=stores.saved,
        sessions=stores.sessions,
        engine=engine,
        admission=prompts,
        limit=settings.annotation_bytes,
    )

    async def start_job(kind: str, parameters: Mapping[str, Any], principal: Principal) -> JobRow:
        return await jobs.create(kind, parameters, principal=principal)

    kinds = _job_kinds(
        settings, stores, catalog=catalog, segmenter=segmenter, comparer=comparer, saver=saver, start_job=start_job
    )
    jobs = Jobs(
        repository=stores.jobs,
        queue=stores.job_queue,
        kinds=kinds,
        tenant_limit=settings.tenant_jobs,
        auditor=stores.auditor,
    )
    return Services(
        images=stores.images,
        sessions=stores.sessions,
        catalog=catalog,
        engine=engine,
        datasets=stores.datasets,
        annotations=stores.annotations,
        assignments=Assignments(repository=stores.saved),
        removal=ImageRemoval(
            repository=stores.saved,
            images=stores.images,
            catalog=catalog,
            drop_session=stores.drop_session,
            auditor=stores.auditor,
        ),
        saver=saver,
        segmenter=segmenter,
        jobs=jobs,
        job_kinds=kinds,
        learning=Learning(repository=stores.learning, jobs=jobs, auditor=stores.auditor),
        uploads=uploads,
        transfers=transfers(settings, needed=lambda: prompts.active + segmentations.active > 0),
        prompts=prompts,
        limits=principal_limits(settings),
        auditor=stores.auditor,
        turns=short_calls(),
    )


def _job_kinds(
    settings: Settings,
    stores: Stores,
    *,
    catalog: Catalog,
    segmenter: Segmenter,
    comparer: DraftComparer,
    saver: AnnotationSaver,
    start_job: StartJob,
) -> JobKinds:
    place = ProgramPlace(
        folder=settings.jobs_folder,
        python=str(settings.jobs_python or ""),
        # The setting is a path, and an exporter's repository may be a URL.
        repository=os.environ.get(REPOSITORY_VARIABLE) or str(settings.triton_model_repository),
        triton=settings.triton_url,
        server=settings.jobs_server,
        data=DatasetFolders(stores.datasets, stores.annotations, stores.images),
        catalog=catalog,
    )
    segment = SegmentJobs(
        datasets=stores.datasets,
        drafts=ModelDrafts(repository=stores.saved, limit=settings.annotation_bytes),
        segmenter=segmenter,
        comparer=comparer,
        catalog=catalog,
        seconds=settings.max_segmentation_seconds,
    )
    learn = LearnJobs(place, stores.learning, start_job=start_job)
    datasets, annotations, images = stores.datasets, stores.annotations, stores.images
    exports = ExportJobs(
        folder=settings.export_folder, datasets=datasets, annotations=annotations, images=images, jobs=stores.jobs
    )
    imports = ImportJobs(
        folder=settings.import_folder,
        datasets=datasets,
        annotations=annotations,
        images=images,
        saver=saver,
        limit=settings.max_image_bytes,
    )
    return JobKinds(
        [segment, TrainJobs(place), EvaluateJobs(place), PublishJobs(place), learn, exports, imports],
        run_here=settings.worker_kind_names,
    )
