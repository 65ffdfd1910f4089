"""Images in the database: plain functions on a connection; their caller says where a transaction begins and ends."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, delete, exists, func, insert, select, text, tuple_, update

from gateway.storage.schema import images, sessions
from sixpoint.geometry import Geometry

__all__ = ["ImageRecord", "byte_total", "find", "hold", "keep", "remove", "remove_unused", "touch", "unused"]


@dataclass(frozen=True)
class ImageRecord:
    """An image as it is stored; times are seconds since 1970, UTC.

    Attributes:
        digest: SHA-256 by which it is known, lower-case hex.
        geometry: Where its voxels lie.
        voxel_type: Their type, as numbered in ``sixpoint.v1.VoxelType``.
        byte_count: Bytes of voxels.
        owner: Who uploaded it first.
        created: When.
        used: When it was last used.
    """

    digest: str
    geometry: Geometry
    voxel_type: int
    byte_count: int
    owner: str
    created: float
    used: float


def find(conn: Connection, digest: str) -> ImageRecord | None:
    """The image of this digest; None when it is not here."""
    row = conn.execute(select(images).where(images.c.digest == digest)).one_or_none()
    if row is None:
        return None
    geometry = Geometry(**{name: tuple(values) for name, values in row.geometry.items()})
    return ImageRecord(digest, geometry, row.voxel_type, row.byte_count, row.owner, row.created, row.used)


def keep(conn: Connection, record: ImageRecord) -> ImageRecord:
    """Insert an image; the one already here wins, and was used now. Call :func:`hold` before."""
    known = find(conn, record.digest)
    if known is not None:
        touch(conn, record.digest, now=record.used)
        return known
    geometry = record.geometry
    conn.execute(
        insert(images).values(
            digest=record.digest,
            geometry={
                "size": geometry.size,
                "spacing": geometry.spacing,
                "origin": geometry.origin,
                "direction": geometry.direction,
            },
            voxel_type=record.voxel_type,
            byte_count=record.byte_count,
            owner=record.owner,
            created=record.created,
            used=record.used,
        )
    )
    return record


def hold(conn: Connection, digest: str) -> None:
    """Let no other transaction that holds this digest run until this one ends: they add or remove record and blob."""
    if conn.dialect.name == "postgresql":
        # SQLite has one writer at a time anyway.
        conn.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": int(digest[:15], 16)})


def touch(conn: Connection, digest: str, *, now: float) -> None:
    """Mark an image as used."""
    conn.execute(update(images).where(images.c.digest == digest, images.c.used < now).values(used=now))


def byte_total(conn: Connection, *, owner: str | None = None) -> int:
    """Bytes of all images, or of one owner's."""
    query = select(func.coalesce(func.sum(images.c.byte_count), 0))
    return int(conn.execute(query if owner is None else query.where(images.c.owner == owner)).scalar_one())


def remove(conn: Connection, record: ImageRecord) -> bool:
    """Delete a record; whether it was there, and was this one rather than one of a later upload."""
    query = delete(images).where(images.c.digest == record.digest, images.c.created == record.created)
    return bool(conn.execute(query).rowcount)


def unused(conn: Connection, *, before: float, after: tuple[float, str], limit: int) -> list[tuple[float, str]]:
    """When they were last used, and digests, of images last used before a time that no open session uses.

    The least recently used is first, of those that come after one, itself told by when it was used, and its digest.
    """
    place = images.c.used, images.c.digest
    query = select(*place).where(*_unused(before), tuple_(*place) > tuple_(*after)).order_by(*place).limit(limit)
    return [(row.used, row.digest) for row in conn.execute(query)]


def remove_unused(conn: Connection, digest: str, *, before: float) -> bool:
    """Delete an image's record if it is still unused; whether it was."""
    return bool(conn.execute(delete(images).where(images.c.digest == digest, *_unused(before))).rowcount)


def _unused(before: float) -> tuple[ColumnElement[bool], ...]:
    in_session = exists().where(sessions.c.image_digest == images.c.digest, sessions.c.ended.is_(None))
    return images.c.used < before, ~in_session
