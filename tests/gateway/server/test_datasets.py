"""Datasets and annotations through the contract: annotate, save, review, read back; through a real Triton."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import numpy as np
import pytest
import zstandard

import sixpoint
from sixpoint import errors
from sixpoint.mask import pack, unpack
from sixpoint.protocol import mask_from_message, mask_to_message
from sixpoint.protocol.status import error_from_rpc
from sixpoint.v1 import annotation_service_pb2 as annotation_pb
from sixpoint.v1 import dataset_service_pb2 as dataset_pb
from sixpoint.v1 import dataset_service_pb2_grpc as dataset_grpc
from sixpoint.v1 import session_service_pb2 as session_pb
from sixpoint.v1 import session_service_pb2_grpc as session_grpc
from tests.gateway.prompts import ADD, BOX, SIX
from tests.support.images import noisy_volume

VOLUME = noisy_volume()


@pytest.fixture
def datasets(channel: grpc.Channel) -> dataset_grpc.DatasetServiceStub:
    return dataset_grpc.DatasetServiceStub(channel)


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A name of a dataset that no other test uses."""
    return hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:20]


@pytest.fixture
def session(client: sixpoint.Client) -> Iterator[sixpoint.Session]:
    with client.open_session(VOLUME) as session:
        yield session


def _name_segment(channel: grpc.Channel, session: sixpoint.Session, number: int, name: str) -> None:
    request = session_pb.UpdateSessionRequest(
        session_id=session.id, segments=[session_pb.Segment(number=number, name=name)]
    )
    session_grpc.SessionServiceStub(channel).UpdateSession(request)


def _make(datasets: dataset_grpc.DatasetServiceStub, name: str, *labels: str) -> None:
    names = [dataset_pb.DatasetLabel(name=label) for label in labels]
    datasets.CreateDataset(dataset_pb.CreateDatasetRequest(name=name, labels=names))
    image = dataset_pb.NewDatasetImage(image_digest=VOLUME.digest, case_name="case 1")
    datasets.AddImages(dataset_pb.AddImagesRequest(dataset=name, images=[image]))


def _refused(call: Callable[[Any], Any], request: Any) -> errors.SixpointError:
    with pytest.raises(grpc.RpcError) as caught:
        call(request)
    return error_from_rpc(caught.value)


def test_a_session_is_saved_and_read_back(
    channel: grpc.Channel, datasets: dataset_grpc.DatasetServiceStub, session: sixpoint.Session, name: str
) -> None:
    _make(datasets, name, "liver", "spleen", "kidney")
    session.annotate(SIX)
    mask = session.annotate(ADD)
    other = session.annotate(BOX, segment=2)
    request = dataset_pb.SaveAnnotationRequest(dataset=name, session_id=session.id, absent_labels=["kidney"])
    assert "segment 1 has no name" in _refused(datasets.SaveAnnotation, request).message
    _name_segment(channel, session, 1, "spleen")
    _name_segment(channel, session, 2, "liver")
    saved = datasets.SaveAnnotation(request).annotation
    assert [(label.number, label.name, label.voxel_count) for label in saved.labels] == [
        (1, "liver", int(other.array.sum())),
        (2, "spleen", int(mask.array.sum())),
        (3, "kidney", 0),
    ]
    assert (saved.version, saved.session_id, saved.model, saved.prompt_count) == (1, session.id, "annotation", 3)
    assert saved.state == dataset_pb.ANNOTATION_STATE_SUBMITTED
    assert 0 < saved.active_seconds < 180

    # A second click on "save", or a call whose answer was lost.
    assert datasets.SaveAnnotation(request).annotation.id == saved.id
    first, *labels = datasets.GetAnnotation(dataset_pb.GetAnnotationRequest(id=saved.id))
    assert first.annotation == saved
    masks = {part.label.name: unpack(mask_from_message(part.label.mask), VOLUME.geometry.size) for part in labels}
    assert np.array_equal(masks["spleen"], mask.array)
    assert np.array_equal(masks["liver"], other.array)
    assert not masks["kidney"].any()

    # What was saved does not change with the session.
    session.refresh()
    session.undo()
    later = datasets.SaveAnnotation(request).annotation
    assert (later.version, later.prompt_count, later.digest == saved.digest) == (2, 2, False)
    _, *labels = datasets.GetAnnotation(dataset_pb.GetAnnotationRequest(id=saved.id))
    assert mask_from_message(labels[1].label.mask).voxel_count == mask.array.sum()
    listed = datasets.ListAnnotations(dataset_pb.ListAnnotationsRequest(dataset=name, image_digest=VOLUME.digest))
    assert [annotation.version for annotation in listed.annotations] == [2, 1]


def test_reviews(
    channel: grpc.Channel, datasets: dataset_grpc.DatasetServiceStub, session: sixpoint.Session, name: str
) -> None:
    _make(datasets, name, "liver")
    session.annotate(SIX)
    _name_segment(channel, session, 1, "liver")
    saved = datasets.SaveAnnotation(dataset_pb.SaveAnnotationRequest(dataset=name, session_id=session.id)).annotation
    reject = dataset_pb.ReviewAnnotationRequest(id=saved.id, state=dataset_pb.ANNOTATION_STATE_REJECTED)
    assert "needs a reason" in _refused(datasets.ReviewAnnotation, reject).message
    reject.reason = "it lacks the left lobe"
    rejected = datasets.ReviewAnnotation(reject).annotation
    assert (rejected.state, rejected.reason) == (dataset_pb.ANNOTATION_STATE_REJECTED, reject.reason)
    accept = dataset_pb.ReviewAnnotationRequest(id=saved.id, state=dataset_pb.ANNOTATION_STATE_ACCEPTED)
    assert datasets.ReviewAnnotation(accept).annotation.state == dataset_pb.ANNOTATION_STATE_ACCEPTED
    assert datasets.GetDataset(dataset_pb.GetDatasetRequest(name=name)).dataset.accepted_count == 1
    listed = datasets.ListAnnotations(dataset_pb.ListAnnotationsRequest(dataset=name, state=reject.state))
    assert not listed.annotations
    (image,) = datasets.ListDatasetImages(dataset_pb.ListDatasetImagesRequest(dataset=name)).images
    assert (image.case_name, image.state) == ("case 1", dataset_pb.ANNOTATION_STATE_ACCEPTED)
    for state in (dataset_pb.ANNOTATION_STATE_UNSPECIFIED, dataset_pb.ANNOTATION_STATE_DRAFT, 99):
        request = dataset_pb.ReviewAnnotationRequest(id=saved.id, state=state)  # type: ignore[arg-type]
        assert isinstance(_refused(datasets.ReviewAnnotation, request), errors.InvalidArgument)
    unknown = dataset_pb.ReviewAnnotationRequest(id="0" * 32, state=accept.state)
    assert isinstance(_refused(datasets.ReviewAnnotation, unknown), errors.AnnotationNotFound)


def test_masks_from_elsewhere(datasets: dataset_grpc.DatasetServiceStub, session: sixpoint.Session, name: str) -> None:
    _make(datasets, name, "liver")
    array = np.zeros(VOLUME.array.shape, np.bool_)
    array[3:9, 4:12, 5:20] = True
    # Its box is larger than need be, as another client may send it.
    loose = pack(np.ones_like(array), (0, 0, 0))
    whole = annotation_pb.MaskPatch()
    whole.CopyFrom(mask_to_message(loose))
    raw = np.packbits(array.reshape(-1)).tobytes()
    whole.bits, whole.sha256 = zstandard.ZstdCompressor().compress(raw), hashlib.sha256(raw).digest()

    def request(**changes: Any) -> dataset_pb.ImportAnnotationRequest:
        mask = annotation_pb.MaskPatch()
        mask.CopyFrom(whole)
        for key, value in changes.items():
            if key in ("lower", "upper"):
                del getattr(mask.box, key)[:]
                getattr(mask.box, key).extend(value)
            else:
                setattr(mask, key, value)
        label = dataset_pb.LabelMask(name="liver", mask=mask)
        return dataset_pb.ImportAnnotationRequest(dataset=name, image_digest=VOLUME.digest, labels=[label])

    saved = datasets.ImportAnnotation(request()).annotation
    assert [label.voxel_count for label in saved.labels] == [array.sum()]
    assert (saved.session_id, saved.prompt_count) == ("", 0)
    _, part = datasets.GetAnnotation(dataset_pb.GetAnnotationRequest(id=saved.id))
    packed = mask_from_message(part.label.mask)
    assert (packed.lower, packed.upper) == ((5, 4, 3), (20, 12, 9))
    assert np.array_equal(unpack(packed, VOLUME.geometry.size), array)
    for wrong in (
        request(bits=b"no zstd"),
        request(bits=zstandard.ZstdCompressor().compress(bytes(2**24))),
        request(sha256=b""),
        request(base_revision=3),
        request(upper=(10**6, 10**6, 10**6)),
        request(lower=(-1, 0, 0)),
        request(lower=(9, 9, 9), upper=(3, 3, 3)),
        request(lower=(), upper=()),
    ):
        assert isinstance(_refused(datasets.ImportAnnotation, wrong), errors.DatasetError)
    empty = dataset_pb.ImportAnnotationRequest(dataset=name, image_digest=VOLUME.digest)
    assert isinstance(_refused(datasets.ImportAnnotation, empty), errors.NothingToSave)


def test_what_cannot_be_saved_is_refused_in_words(
    channel: grpc.Channel, datasets: dataset_grpc.DatasetServiceStub, session: sixpoint.Session, name: str
) -> None:
    save = dataset_pb.SaveAnnotationRequest(dataset=name, session_id=session.id)
    assert isinstance(_refused(datasets.SaveAnnotation, save), errors.DatasetNotFound)
    datasets.CreateDataset(dataset_pb.CreateDatasetRequest(name=name, labels=[dataset_pb.DatasetLabel(name="liver")]))
    assert isinstance(_refused(datasets.SaveAnnotation, save), errors.NothingToSave)
    session.annotate(SIX)
    _name_segment(channel, session, 1, "lung")
    assert "its labels are: 'liver'" in _refused(datasets.SaveAnnotation, save).message
    _name_segment(channel, session, 1, "liver")
    assert "add it first" in _refused(datasets.SaveAnnotation, save).message
    image = dataset_pb.NewDatasetImage(image_digest=VOLUME.digest)
    datasets.AddImages(dataset_pb.AddImagesRequest(dataset=name, images=[image]))
    twice = dataset_pb.SaveAnnotationRequest(dataset=name, session_id=session.id, absent_labels=["liver"])
    assert "there twice" in _refused(datasets.SaveAnnotation, twice).message
    stale = dataset_pb.SaveAnnotationRequest(dataset=name, session_id=session.id, revision=99)
    assert isinstance(_refused(datasets.SaveAnnotation, stale), errors.StaleRevision)
    accepted = dataset_pb.SaveAnnotationRequest(
        dataset=name, session_id=session.id, state=dataset_pb.ANNOTATION_STATE_ACCEPTED
    )
    assert "review it" in _refused(datasets.SaveAnnotation, accepted).message
    assert datasets.SaveAnnotation(save).annotation.version == 1


def test_datasets_are_listed_in_pages(datasets: dataset_grpc.DatasetServiceStub, name: str) -> None:
    made = [f"{name} {number}" for number in range(5)]
    for each in made:
        datasets.CreateDataset(dataset_pb.CreateDatasetRequest(name=each))
    assert isinstance(
        _refused(datasets.CreateDataset, dataset_pb.CreateDatasetRequest(name=made[0])), errors.DatasetExists
    )
    seen, token = list[str](), ""
    while True:
        page = datasets.ListDatasets(dataset_pb.ListDatasetsRequest(page_size=2, page_token=token))
        seen += [dataset.name for dataset in page.datasets]
        token = page.next_page_token
        if not token:
            break
    assert [each for each in seen if each.startswith(name)] == made
