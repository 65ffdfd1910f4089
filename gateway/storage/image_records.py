"""Queries on images, and their changes, in SQL."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import ColumnElement, Connection, delete, exists, func, insert, select, text, tuple_, update

from gateway.core.images import ImageRecord
from gateway.storage.geometries import geometry_from_json, geometry_to_json
from gateway.storage.schema import images, sessions

__all__ = ["SqlImageReader", "SqlImageWriter"]


class SqlImageReader:
    """A :class:`gateway.core.images.repository.ImageReader` on a connection."""

    def __init__(self, conn: Connection) -> None:
        self._conn = conn

    def image(self, digest: str) -> ImageRecord | None:
        """The record of the image with this digest."""
        row = self._conn.execute(select(images).where(images.c.digest == digest)).one_or_none()
        if row is None:
            return None
        return ImageRecord(**{**row._mapping, "geometry": geometry_from_json(row.geometry)})

    def byte_total(self, owner: str | None = None) -> int:
        """Bytes of all images, or of one owner's."""
        query = select(func.coalesce(func.sum(images.c.byte_count), 0))
        if owner is not None:
            query = query.where(images.c.owner == owner)
        return int(self._conn.execute(query).scalar_one())

    def recorded(self, digests: Collection[str]) -> set[str]:
        """Those of some digests that have a record."""
        return set(self._conn.scalars(select(images.c.digest).where(images.c.digest.in_(digests))))

    def list_unused(self, *, before: float, after: tuple[float, str], limit: int) -> list[tuple[float, str]]:
        """Time of last use, and digest, of images that no open session uses; the least recently used first."""
        place = images.c.used, images.c.digest
        query = select(*place).where(*_unused(before), tuple_(*place) > tuple_(*after)).order_by(*place).limit(limit)
        return [(row.used, row.digest) for row in self._conn.execute(query)]


class SqlImageWriter(SqlImageReader):
    """A :class:`gateway.core.images.repository.ImageWriter` on a connection."""

    def lock_image(self, digest: str) -> None:
        """Block other transactions that lock the same digest until this one ends."""
        if self._conn.dialect.name == "postgresql":
            # SQLite has one writer at a time anyway.
            self._conn.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": int(digest[:15], 16)})

    def add_image(self, record: ImageRecord) -> ImageRecord:
        """Add a record; if there is one of this digest, keep that one and set its time of last use."""
        stored = self.image(record.digest)
        if stored is not None:
            self.touch_image(record.digest, now=record.used)
            return stored
        self._conn.execute(insert(images).values(**vars(record) | {"geometry": geometry_to_json(record.geometry)}))
        return record

    def touch_image(self, digest: str, *, now: float) -> None:
        """Set an image's time of last use, unless it is later already."""
        self._conn.execute(update(images).where(images.c.digest == digest, images.c.used < now).values(used=now))

    def delete_image(self, record: ImageRecord) -> bool:
        """Delete a record, unless it belongs to a later upload of the same image; return whether it was deleted."""
        query = delete(images).where(images.c.digest == record.digest, images.c.created == record.created)
        return bool(self._conn.execute(query).rowcount)

    def delete_if_unused(self, digest: str, *, before: float) -> bool:
        """Delete an image's record if it is unused since a time; return whether it was deleted."""
        query = delete(images).where(images.c.digest == digest, *_unused(before))
        return bool(self._conn.execute(query).rowcount)


def _unused(before: float) -> tuple[ColumnElement[bool], ...]:
    in_session = exists().where(sessions.c.image_digest == images.c.digest, sessions.c.ended.is_(None))
    return images.c.used < before, ~in_session
