"""Checks of database and blob store: reached, migrated, written to; their clocks."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import obstore

from gateway.doctor.clocks import http_clock_ahead, judge_clock
from gateway.settings import Settings
from gateway.storage.blobs import blob_folder
from gateway.storage.inspection import DatabaseState, database_file, inspect_database, sends_unverified
from gateway.storage.jobs.job_queue import SCHEMA
from sixpoint.cli.doctor.connection import Finding
from sixpoint.errors import SixpointError, StorageUnavailable
from sixpoint.io.object_store import CA_VARIABLE, Objects, s3_endpoint

__all__ = ["check_stores"]


def check_stores(settings: Settings) -> Iterator[Finding]:
    """Check database and blob store."""
    yield from _check_database(settings.database_url.get_secret_value())
    yield from _check_blobs(settings.blobs_url.get_secret_value())


def _check_database(url: str) -> Iterator[Finding]:
    try:
        state = inspect_database(url)
    except StorageUnavailable as error:
        advice = "Check SIXPOINT_DATABASE_URL, whether the database runs, and the network in between."
        yield Finding("database", False, f"it cannot be reached: {error.message}", advice)
        return
    except SixpointError as error:
        yield Finding("database", False, error.message, "Correct SIXPOINT_DATABASE_URL.")
        return
    file = database_file(url)
    if file is not None and not file.exists():
        yield _check_folder("database", file.parent, missing="there is no database yet; it is made at the start")
        return
    yield _judge_revision(state)
    if not state.may_queue:
        seen = f"its role may neither make nor use the schema {SCHEMA}, in which the queue of jobs lies"
        yield Finding("queue of jobs", False, seen, "Let the database's owner run GRANT CREATE ON DATABASE ... TO ....")
    if sends_unverified(url):
        how = "encrypted, but with whom is not checked" if state.encrypted else "not even encrypted"
        advice = "Add sslmode=verify-full and sslrootcert=FILE to SIXPOINT_DATABASE_URL."
        yield Finding("database TLS", True, f"the database is on another machine, and the connection is {how}", advice)
    if state.clock_ahead is not None:
        yield judge_clock("database", state.clock_ahead)


def _judge_revision(state: DatabaseState) -> Finding:
    newest = state.known[-1]
    if not state.revision:
        return Finding(
            "database", True, f"reached; it has no tables yet: they are made at the start (revision {newest})"
        )
    if state.revision == newest:
        return Finding("database", True, f"reached; its tables are current (revision {newest})")
    if state.revision in state.known:
        seen = f"reached; its tables are of revision {state.revision} and are migrated to {newest} at the start"
        return Finding("database", True, seen, "Stop all older gateways on it first, and take a backup.")
    return Finding(
        "database",
        False,
        f"its tables are of revision {state.revision}, of a newer sixpoint; this one knows revisions up to {newest}",
        f"Run the version of sixpoint that migrated it, or another that knows revision {state.revision}; or restore a "
        "backup.",
    )


def _check_blobs(url: str) -> Iterator[Finding]:
    folder = blob_folder(url)
    if folder is not None:
        missing = "" if folder.exists() else "there is no folder yet; it is made with the first image"
        yield _check_folder("blob store", folder, missing=missing)
        return
    try:
        objects = Objects(url, unavailable=lambda kind: StorageUnavailable(kind, retry_after=1.0))
    except ValueError:
        advice = "Write a folder, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix (SIXPOINT_BLOBS_URL)."
        yield Finding("blob store", False, "its URL is not understood", advice)
        return
    except SixpointError as error:
        yield Finding("blob store", False, error.message, "Correct the variable.")
        return
    yield _check_bucket(objects)
    if (ahead := http_clock_ahead(s3_endpoint(), authority=os.environ.get(CA_VARIABLE))) is not None:
        yield judge_clock("blob store", ahead)


def _check_bucket(objects: Objects) -> Finding:
    # Only writing shows the right to write; a name that no image has, removed at once.
    key = f"doctor/{secrets.token_hex(8)}"
    advice = "Check bucket, endpoint (AWS_ENDPOINT), credentials, and AWS_CA_BUNDLE for an authority of your own."
    try:
        with objects.errors():
            obstore.put(objects.store, key, b"x")
        objects.delete(key)
    except SixpointError as error:
        return Finding("blob store", False, f"it cannot be written to ({error.message})", advice)
    return Finding("blob store", True, "reached; an object was written and removed")


def _check_folder(what: str, folder: Path, *, missing: str) -> Finding:
    present = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    if not present.is_dir():
        return Finding(what, False, f"{present} is no folder", "Name another place, or move the file away.")
    if not os.access(present, os.W_OK | os.X_OK):
        return Finding(what, False, f"{present} may not be written by this user", "Change its owner or mode.")
    return Finding(what, True, missing or f"{folder} can be written")
