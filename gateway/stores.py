"""Where a gateway keeps images, sessions and steps, put together from the settings."""

from __future__ import annotations

import time

from gateway.core.access import NO_AUDIT, AuditNotes
from gateway.core.datasets import Annotations, Datasets
from gateway.core.images import ImageStore
from gateway.core.sessions import LogQuota, SegmentHistory, SegmentStateCache, SessionExpiry, Sessions
from gateway.from_settings import image_limits, log_limits
from gateway.settings import Settings
from gateway.storage import (
    Blobs,
    Database,
    DbosQueue,
    dataset_repository,
    image_maintenance,
    image_repository,
    job_maintenance,
    job_repository,
    learning_repository,
    session_maintenance,
    session_repository,
)
from gateway.storage.audit_log import AuditLog
from gateway.sweeper import Sweeper

__all__ = ["Stores"]


class Stores:
    """The stores of a gateway, on its database and its blob store.

    Args:
        settings: Settings of the gateway.

    Attributes:
        database: Database of the records.
        blobs: Blob store of the voxels.
        images: All images.
        history: Steps of all sessions.
        sessions: All sessions.
        drop_session: Function that drops a session from memory, by its id.
        saved: Transactions of datasets and annotations.
        datasets: All datasets.
        annotations: All saved annotations.
        job_queue: Queue of jobs.
        jobs: Transactions of jobs.
        job_upkeep: Transactions of workers.
        learning: Transactions of learning.
        expiry: The end of sessions that nobody uses.
        audit: Notes for the audit log; None without one.
        auditor: Takes these notes, or none.
    """

    def __init__(self, settings: Settings) -> None:
        self.database = Database(settings.database_url.get_secret_value(), marks=settings.cache_folder)
        self.blobs = Blobs(settings.blobs_url.get_secret_value())
        self._audit_log = AuditLog(self.database)
        self.audit = AuditNotes(self._audit_log) if settings.audit else None
        self.auditor = self.audit or NO_AUDIT
        self._audit_seconds = settings.audit_seconds
        self.images = ImageStore(
            repository=image_repository(self.database, audited=settings.audit),
            maintenance=image_maintenance(self.database),
            blobs=self.blobs,
            folder=settings.cache_folder,
            limits=image_limits(settings),
            auditor=self.auditor,
        )
        cache = SegmentStateCache(settings.session_memory_bytes, idle=settings.session_memory_seconds)
        repository = session_repository(self.database, audited=settings.audit)
        self.drop_session = cache.drop
        maintenance = session_maintenance(self.database)
        quota = LogQuota(log_limits(settings), maintenance=maintenance)
        self.history = SegmentHistory(repository=repository, cache=cache, quota=quota)
        self.sessions = Sessions(
            repository=repository,
            history=self.history,
            cache=cache,
            quota=quota,
            limit=settings.max_sessions,
            owner_limit=settings.owner_sessions,
            idle=settings.session_idle_seconds,
            auditor=self.auditor,
        )
        self.saved = dataset_repository(self.database, audited=settings.audit)
        self.datasets = Datasets(repository=self.saved, auditor=self.auditor)
        self.annotations = Annotations(repository=self.saved, auditor=self.auditor)
        self.job_queue = DbosQueue(self.database)
        self.jobs = job_repository(self.database, self.job_queue, audited=settings.audit)
        self.job_upkeep = job_maintenance(self.database, self.job_queue)
        self.learning = learning_repository(self.database, audited=settings.audit)
        self.expiry = SessionExpiry(maintenance=maintenance, cache=cache, idle=settings.session_idle_seconds)

    async def remove_old_audit(self) -> None:
        """Remove the entries of the audit log that are older than the settings say."""
        if self._audit_seconds:
            await self._audit_log.remove(before=time.time() - self._audit_seconds)

    def sweeper(self, *, interval: float) -> Sweeper:
        """What keeps them tidy.

        Args:
            interval: Seconds between two sweeps.
        """
        return Sweeper(sessions=self.expiry, images=self.images, audit=self.remove_old_audit, interval=interval)
