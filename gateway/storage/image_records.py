"""Queries on images, and their changes, in SQL."""

from __future__ import annotations

import hashlib
from collections.abc import Collection

from sqlalchemy import ColumnElement, delete, exists, func, insert, select, text, tuple_, update

from gateway.core.images import ImageKey, ImageRecord
from gateway.storage.audited import AuditedWriter
from gateway.storage.dataset_tables import dataset_images
from gateway.storage.geometries import geometry_from_json, geometry_to_json
from gateway.storage.schema import images, sessions
from gateway.storage.scopes import AllTenants, Scope, TenantScope

__all__ = ["SqlImageReader", "SqlImageUpkeep", "SqlImageWriter"]

_BYTE_TOTAL = select(func.coalesce(func.sum(images.c.byte_count), 0))


class SqlImageReader:
    """A :class:`gateway.core.images.repository.ImageReader` in a tenant's scope."""

    def __init__(self, scope: TenantScope) -> None:
        self._scope = scope

    def image(self, digest: str) -> ImageRecord | None:
        """The record of the image with this digest."""
        row = self._scope.execute(select(images).where(*self._of_image(digest))).one_or_none()
        if row is None:
            return None
        return ImageRecord(**{**row._mapping, "geometry": geometry_from_json(row.geometry)})

    def byte_total(self, owner: str) -> int:
        """Bytes of one owner's images."""
        query = _BYTE_TOTAL.where(self._scope.of(images), images.c.owner == owner)
        return int(self._scope.execute(query).scalar_one())

    def byte_total_of_all(self) -> int:
        """Bytes of the images of all tenants."""
        return int(self._scope.execute(_BYTE_TOTAL).scalar_one())

    def _of_image(self, digest: str) -> tuple[ColumnElement[bool], ...]:
        return self._scope.of(images), images.c.digest == digest


class SqlImageUpkeep:
    """A :class:`gateway.core.images.repository.ImageUpkeep` in the scope of all tenants."""

    def __init__(self, scope: AllTenants) -> None:
        self._scope = scope

    def byte_total_of_all(self) -> int:
        """Bytes of all images."""
        return int(self._scope.execute(_BYTE_TOTAL).scalar_one())

    def recorded(self, keys: Collection[ImageKey]) -> set[ImageKey]:
        """Those of some keys that have a record."""
        columns = images.c.tenant, images.c.digest
        rows = self._scope.execute(select(*columns).where(images.c.digest.in_({key.digest for key in keys})))
        return {ImageKey(*row) for row in rows} & set(keys)

    def list_unused(self, *, before: float, after: tuple[float, str, str], limit: int) -> list[tuple[float, str, str]]:
        """Time of last use, tenant and digest of images that no open session uses; the least recently used first."""
        place = images.c.used, images.c.tenant, images.c.digest
        where = (*_unused(before, self._scope), tuple_(*place) > tuple_(*after))
        rows = self._scope.execute(select(*place).where(*where).order_by(*place).limit(limit))
        return [(row.used, row.tenant, row.digest) for row in rows]


class SqlImageWriter(AuditedWriter, SqlImageReader):
    """A :class:`gateway.core.images.repository.ImageWriter` in a tenant's scope.

    Args:
        scope: The scope.
        audited: Whether entries are written to the audit log.
    """

    def lock_image(self, digest: str) -> None:
        """Block other transactions that lock the same digest until this one ends."""
        if self._scope.dialect == "postgresql":
            # SQLite has one writer at a time anyway.
            key = int(hashlib.sha256(f"{self._scope.tenant}/{digest}".encode()).hexdigest()[:15], 16)
            self._scope.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": key})

    def add_image(self, record: ImageRecord) -> ImageRecord:
        """Add a record; if there is one of this digest, keep that one and set its time of last use."""
        stored = self.image(record.digest)
        if stored is not None:
            self.touch_image(record.digest, now=record.used)
            return stored
        self._scope.execute(insert(images).values(**vars(record) | {"geometry": geometry_to_json(record.geometry)}))
        return record

    def touch_image(self, digest: str, *, now: float) -> None:
        """Set an image's time of last use, unless it is later already."""
        query = update(images).where(*self._of_image(digest), images.c.used < now)
        self._scope.execute(query.values(used=now))

    def delete_image(self, record: ImageRecord) -> bool:
        """Delete a record, unless it belongs to a later upload of the same image; return whether it was deleted."""
        query = delete(images).where(*self._of_image(record.digest), images.c.created == record.created)
        return bool(self._scope.execute(query).rowcount)

    def delete_if_unused(self, digest: str, *, before: float) -> bool:
        """Delete an image's record if it is unused since a time; return whether it was deleted."""
        query = delete(images).where(*self._of_image(digest), *_unused(before, self._scope))
        return bool(self._scope.execute(query).rowcount)


def _unused(before: float, scope: Scope) -> tuple[ColumnElement[bool], ...]:
    in_session = exists().where(
        scope.of(sessions),
        sessions.c.tenant == images.c.tenant,
        sessions.c.image_digest == images.c.digest,
        sessions.c.ended.is_(None),
    )
    in_dataset = exists().where(
        scope.of(dataset_images),
        dataset_images.c.tenant == images.c.tenant,
        dataset_images.c.image_digest == images.c.digest,
    )
    return images.c.used < before, ~in_session, ~in_dataset
