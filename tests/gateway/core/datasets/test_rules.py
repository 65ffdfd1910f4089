"""The rules without a database: splits, labels, and how much work a session was."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.datasets import AnnotationState, DatasetLabel, Split
from gateway.core.datasets.activity import MAX_PAUSE_S, active_seconds
from gateway.core.datasets.splits import choose_split, hash_patient
from gateway.core.datasets.validation import (
    add_labels,
    check_case_name,
    check_reason,
    check_save_state,
    check_shares,
)
from sixpoint.errors import DatasetError, InvalidArgument

SALT = "00" * 16


def test_shares_are_those_of_the_patients() -> None:
    patients = [hash_patient(str(number), salt=SALT) for number in range(4000)]
    splits = Counter(choose_split(patient, validation_share=0.2, test_share=0.1) for patient in patients)
    assert splits[Split.TEST] / 4000 == pytest.approx(0.1, abs=0.02)
    assert splits[Split.VALIDATION] / 4000 == pytest.approx(0.2, abs=0.02)


@given(st.text(), st.floats(0, 0.4), st.floats(0, 0.4), st.floats(0, 0.19))
def test_a_larger_share_moves_no_case_of_the_test_into_training(
    patient: str, validation: float, test: float, more: float
) -> None:
    hashed = hash_patient(patient, salt=SALT)
    before = choose_split(hashed, validation_share=validation, test_share=test)
    after = choose_split(hashed, validation_share=validation + more, test_share=test)
    assert (before is Split.TEST) == (after is Split.TEST)
    assert not (before is Split.VALIDATION and after is Split.TRAINING)


def test_the_hash_of_a_patient_is_of_no_use_in_another_dataset() -> None:
    assert hash_patient("MRN 123", salt=SALT) == hash_patient("MRN 123", salt=SALT)
    assert hash_patient("MRN 123", salt=SALT) != hash_patient("MRN 123", salt="01" * 16)


def test_pauses_count_as_a_minute() -> None:
    assert active_seconds([], end=10.0) == 0.0
    assert active_seconds([0.0, 5.0, 12.0], end=20.0) == 20.0
    assert active_seconds([12.0, 0.0, 5.0], end=20.0) == 20.0
    assert active_seconds([0.0, 7200.0], end=7210.0) == MAX_PAUSE_S + 10.0
    # A clock that went back.
    assert active_seconds([0.0, 50.0], end=20.0) == 20.0


def test_labels_get_the_next_free_numbers_and_keep_theirs() -> None:
    labels = add_labels((), [DatasetLabel(0, "liver"), DatasetLabel(2, "spleen", "#ff8800"), DatasetLabel(0, "kidney")])
    assert [(label.number, label.name) for label in labels] == [(1, "liver"), (2, "spleen"), (3, "kidney")]
    assert add_labels(labels, [DatasetLabel(0, "spleen"), DatasetLabel(1, "liver")]) == labels


@pytest.mark.parametrize(
    ("label", "words"),
    [
        (DatasetLabel(5, "liver"), "has a label"),
        (DatasetLabel(0, "liver", "#000000"), "has a label"),
        (DatasetLabel(1, "lung"), "is that of the label"),
        (DatasetLabel(256, "lung"), "expected 1 to 255"),
        (DatasetLabel(-1, "lung"), "expected 1 to 255"),
        (DatasetLabel(0, ""), "cannot be used"),
        (DatasetLabel(0, " lung"), "cannot be used"),
        (DatasetLabel(0, "lu\nng"), "cannot be used"),
        (DatasetLabel(0, "lung", "red"), "#rrggbb"),
        (DatasetLabel(0, "lung", "", "T-28000"), "SNOMED"),
    ],
)
def test_labels_that_cannot_be_used_are_refused_in_words(label: DatasetLabel, words: str) -> None:
    with pytest.raises(DatasetError, match=words):
        add_labels((DatasetLabel(1, "liver", "#ffffff"),), [label])


def test_a_dataset_has_at_most_255_labels() -> None:
    full = add_labels((), [DatasetLabel(0, str(number)) for number in range(255)])
    with pytest.raises(DatasetError, match="255 labels"):
        add_labels(full, [DatasetLabel(0, "one more")])


@pytest.mark.parametrize("name", ["../x", "a/b", "a\\b", "-rf", ".hidden", "a:b", "", "x" * 101, "nul\0"])
def test_the_name_of_a_case_can_be_that_of_a_file(name: str) -> None:
    with pytest.raises(DatasetError):
        check_case_name(name)
    check_case_name("spleen 10, ä")


@pytest.mark.parametrize(("validation", "test"), [(1.0, 0.0), (0.5, 0.5), (-0.1, 0.0), (float("nan"), 0.0), (0.0, 1.0)])
def test_something_is_left_for_training(validation: float, test: float) -> None:
    with pytest.raises(DatasetError, match="for training"):
        check_shares(validation, test)
    check_shares(0.2, 0.1)


def test_only_a_review_accepts() -> None:
    assert check_save_state(None) is AnnotationState.SUBMITTED
    with pytest.raises(InvalidArgument, match="review it"):
        check_save_state(AnnotationState.ACCEPTED)
    with pytest.raises(InvalidArgument, match="needs a reason"):
        check_reason(AnnotationState.REJECTED, " ", allowed=set(AnnotationState))
