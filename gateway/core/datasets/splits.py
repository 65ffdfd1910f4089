"""Splits: which part of training an image is for, fixed by its patient, not by the order in which images come."""

from __future__ import annotations

import hashlib
import hmac

from gateway.core.datasets.records import Split

__all__ = ["choose_split", "hash_patient"]


def hash_patient(patient: str, *, salt: str) -> str:
    """Return the keyed hash of a patient, hex: equal for equal patients of a dataset, and of no use elsewhere.

    Args:
        patient: What all images of the patient share.
        salt: Key of the dataset, hex.
    """
    return hmac.new(bytes.fromhex(salt), patient.encode(), hashlib.sha256).hexdigest()


def choose_split(patient: str, *, validation_share: float, test_share: float) -> Split:
    """Choose the split of all images of a patient.

    The hash is a number between 0 and 1: the lowest part is the test, then comes validation. So a larger share of
    either moves no case from the test into training.

    Args:
        patient: Keyed hash of the patient: see :func:`hash_patient`.
        validation_share: Share of the patients held out for validation.
        test_share: Share of the patients held out for the test.
    """
    place = int(patient[:13], 16) / 16**13
    if place < test_share:
        return Split.TEST
    if place < test_share + validation_share:
        return Split.VALIDATION
    return Split.TRAINING
