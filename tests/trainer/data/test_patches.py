"""Cases on disk, patches of them, and the way back to the image's own grid."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.data.meta_obj import get_track_meta
from monai.inferers.utils import sliding_window_inference

import trainer
from sixpoint.model_spec import PatchSpec, SegmentationSpec
from sixpoint.volume import write_image
from tests.trainer.conftest import SIZE, Maker
from trainer.data.cases import PreparedCase, cases_folder, prepare_cases
from trainer.data.datasets import Dataset, read_case, read_dataset
from trainer.data.fingerprint import complete_spec, compute_fingerprint
from trainer.data.patches import PatchDataset, augmentation, cut_patch, iterate_patches
from trainer.data.spec_files import read_spec_mapping
from trainer.training.sliding_window import dice_per_label, segment_case


def spec_of(dataset: Dataset) -> SegmentationSpec:
    template = read_spec_mapping(Path(trainer.__file__).with_name("segmentation.yaml"))
    return complete_spec(template, dataset, compute_fingerprint(dataset))


@pytest.fixture(scope="module")
def dataset(make_pairs: Maker) -> Dataset:
    return read_dataset(make_pairs(cases=2))


@pytest.fixture(scope="module")
def spec(dataset: Dataset) -> SegmentationSpec:
    return spec_of(dataset)


@pytest.fixture(scope="module")
def cases(
    dataset: Dataset, spec: SegmentationSpec, tmp_path_factory: pytest.TempPathFactory
) -> tuple[PreparedCase, ...]:
    return prepared(dataset, spec, tmp_path_factory.mktemp("run"))


def prepared(dataset: Dataset, spec: SegmentationSpec, run: Path) -> tuple[PreparedCase, ...]:
    return tuple(prepare_cases(dataset.cases, spec, labels=dataset.labels, folder=cases_folder(run, spec)).values())


def test_a_prepared_case_holds_the_window_of_the_whole_volume(
    dataset: Dataset, cases: tuple[PreparedCase, ...]
) -> None:
    volume = read_case(dataset.cases[0], dataset.labels)
    case = cases[0]
    assert case.channels.shape == (1, *SIZE[::-1])
    assert case.channels.dtype == np.float16
    assert (float(case.channels.min()), float(case.channels.max())) == (-1.0, 1.0)
    assert np.array_equal(case.labels, volume.labels)
    assert np.array_equal(case.truth, volume.labels)
    for label, *place in case.label_voxels[:: len(case.label_voxels) // 9]:
        assert case.labels[tuple(place)] == label


def test_labels_of_any_numbers_become_those_of_the_spec(make_pairs: Maker, tmp_path: Path) -> None:
    dataset = read_dataset(make_pairs(cases=1))
    (tmp_path / "images").symlink_to(dataset.cases[0].image.parent)
    (tmp_path / "labels").symlink_to(dataset.cases[0].label.parent)
    (tmp_path / "labels.json").write_text('{"2": "core", "1": "shell", "40": "never there"}')
    sparse = read_dataset(tmp_path)
    assert sparse.labels == {1: "shell", 2: "core", 40: "never there"}
    (case,) = prepared(sparse, spec_of(sparse), tmp_path / "run")
    assert set(np.unique(case.truth)) == {0, 1, 2}


def test_another_spacing_resamples_image_and_labels_and_segmenting_leads_back(
    make_pairs: Maker, tmp_path: Path
) -> None:
    dataset = read_dataset(make_pairs(cases=1, spacing=(1.0, 1.0, 2.0)))
    spec = spec_of(dataset)
    spec = spec.model_copy(update={"patch": spec.patch.model_copy(update={"spacing": (1.0, 1.0, 1.0)})})
    (case,) = prepared(dataset, spec, tmp_path)
    assert case.labels.shape == (36, 22, 20)
    assert case.truth.shape == (18, 22, 20)

    class Oracle(torch.nn.Module):
        """Knows the labels by the intensities of the balls without noise."""

        def forward(self, value: torch.Tensor) -> torch.Tensor:
            at = torch.tensor([-0.9, 0.0, 0.9]).reshape(1, 3, 1, 1, 1)
            return -60 * (value - at) ** 2

    found = segment_case(Oracle(), case, spec, device=torch.device("cpu"))
    assert found.shape == case.truth.shape
    assert min(dice_per_label(found, case.truth, count=2)) > 0.6


def test_a_case_is_made_ready_once_and_whole_or_not_at_all(
    dataset: Dataset, spec: SegmentationSpec, tmp_path: Path
) -> None:
    (first, *_) = prepared(dataset, spec, tmp_path)
    half = first.folder.with_name(f".{first.folder.name}.partial")
    first.folder.rename(half)
    (half / "truth.npy").unlink()
    before = (cases := prepared(dataset, spec, tmp_path))[1].folder.stat().st_mtime_ns
    assert cases[0].truth.shape == SIZE[::-1]
    assert prepared(dataset, spec, tmp_path)[1].folder.stat().st_mtime_ns == before


def test_a_case_whose_files_changed_is_prepared_again_and_named(
    make_pairs: Maker, spec: SegmentationSpec, tmp_path: Path
) -> None:
    dataset = read_dataset(make_pairs(cases=2))
    changed: list[str] = []

    def counts() -> dict[str, int]:
        cases = prepare_cases(dataset.cases, spec, labels=dataset.labels, folder=tmp_path, changed=changed.append)
        return {name: int((case.labels > 0).sum()) for name, case in cases.items()}

    first = counts()
    case = dataset.cases[0]
    corrected = read_case(case, dataset.labels)
    labels = corrected.labels.copy()
    labels[: labels.shape[0] // 2] = 0
    write_image(labels.astype(np.uint8), corrected.geometry, case.label)
    second = counts()
    assert changed == [case.name]
    assert 0 < second[case.name] < first[case.name]
    assert second[dataset.cases[1].name] == first[dataset.cases[1].name]
    assert counts() == second
    assert changed == [case.name]


@pytest.mark.parametrize(
    ("told", "beyond"), [({}, -1.0), ({"padding_value": 0.25}, 0.25), ({"padding": "replicate"}, None)]
)
def test_a_patch_is_padded_as_the_spec_says_where_the_volume_ends(
    told: dict[str, Any], beyond: float | None, cases: tuple[PreparedCase, ...]
) -> None:
    patch = PatchSpec(size=(8, 8, 8), spacing=(1, 1, 1), **told)
    image, label = cut_patch(cases[0], (0, 11, 10), (10, 8, 6), spec=patch)
    assert (image.shape, label.shape) == ((1, 10, 8, 6), (1, 10, 8, 6))
    inside = cases[0].channels[:, :5, 7:15, 7:13]
    assert (image[:, :5] == (inside[:, :1] if beyond is None else beyond)).all()
    assert not label[:, :5].any()
    assert np.array_equal(image[:, 5:], inside)


@pytest.mark.parametrize(
    "told", [{"blend": "constant", "overlap": 0.25}, {"padding_value": 0.5}, {"padding": "replicate"}]
)
def test_cases_held_out_are_segmented_as_the_spec_says(
    told: dict[str, Any], spec: SegmentationSpec, cases: tuple[PreparedCase, ...]
) -> None:
    whole = cases[0].labels.shape[::-1]
    # Windows that overlap in x, and are larger than the volume in z.
    patch = spec.patch.model_copy(update={"size": (whole[0] - 8, whole[1], whole[2] + 8), **told})
    changed = spec.model_copy(update={"patch": patch})
    torch.manual_seed(0)
    network = torch.nn.Conv3d(1, 3, 9, padding=4)
    found = segment_case(network, cases[0], changed, device=torch.device("cpu"))
    with torch.inference_mode():
        expected = sliding_window_inference(
            torch.from_numpy(cases[0].channels.astype(np.float32))[None],
            roi_size=patch.size[::-1],
            sw_batch_size=1,
            predictor=lambda seen: torch.softmax(network(seen), dim=1),
            overlap=patch.overlap,
            mode=patch.blend,
            padding_mode=patch.padding,
            cval=patch.padding_value if patch.padding == "constant" else 0.0,
        )
    assert isinstance(expected, torch.Tensor)
    assert np.array_equal(found, expected[0].argmax(dim=0).numpy())


@pytest.mark.slow
def test_the_batch_of_a_step_is_the_same_whoever_makes_it(
    cases: tuple[PreparedCase, ...], spec: SegmentationSpec
) -> None:
    patches = PatchDataset(cases, spec, seed=1, batch_size=2, mirror=True)
    channels, labels = patches[7]
    assert channels.shape == (2, *spec.input_shape)
    assert labels.shape == (2, 1, *spec.input_shape[1:])
    assert set(labels.flatten().tolist()) == {0, 1, 2}
    assert -1 <= float(channels.min()) < float(channels.max()) <= 1
    for workers in (0, 1):
        stream = iterate_patches(patches, first=6, last=8, workers=workers)
        next(stream)
        again = next(stream)
        assert torch.equal(again[0], channels)
        assert torch.equal(again[1], labels)
    for other in (patches[8], replace(patches, seed=2)[7], replace(patches, rank=1)[7]):
        assert not torch.equal(other[0], channels)


def test_patches_leave_the_metadata_of_monai_on_for_whoever_reads_images_next(
    cases: tuple[PreparedCase, ...], spec: SegmentationSpec
) -> None:
    PatchDataset(cases, spec, seed=1, batch_size=1, mirror=False)[0]
    assert get_track_meta()


@pytest.mark.parametrize("mirror", [True, False])
def test_patches_are_mirrored_where_that_is_asked_for_whatever_labels_are_called(
    mirror: bool, cases: tuple[PreparedCase, ...], spec: SegmentationSpec
) -> None:
    named = spec.model_copy(update={"labels": ("LKidney", "RKidney")})
    change = augmentation(named, mirror=mirror)
    assert any(type(one).__name__ == "RandFlipd" for one in change.transforms) is mirror
    plain, other = (PatchDataset(cases, named, seed=1, batch_size=8, mirror=one)[0][0] for one in (False, mirror))
    assert torch.equal(plain, other) is not mirror


def test_dice_of_labels_and_of_one_that_neither_has() -> None:
    a, b = np.array([[[0, 1, 1, 2]]], np.uint8), np.array([[[0, 1, 2, 2]]], np.uint8)
    one, two, three = dice_per_label(a, b, count=3)
    assert (one, two) == pytest.approx((2 / 3, 2 / 3))
    assert math.isnan(three)
