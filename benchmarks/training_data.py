"""Lay out the labelled images that the shipped annotation model was trained on, for ``trainer``.

python -m benchmarks.training_data ../shared/data runs/labelled
trainer pretrain runs/annotation --data runs/labelled --share 0.4
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import SimpleITK as sitk
import typer

from benchmarks.images.shared_images import MODALITIES, TRAINING_PATIENTS, to_sitk, training_hippocampi
from sixpoint.volume import Volume


def main(
    data: Annotated[Path, typer.Argument(help="Folder of labelled images: dicom/, sarcoma/, hippocampus/.")],
    output: Annotated[Path, typer.Argument(help="Folder to write: images/ and labels/.")],
) -> None:
    """Write one CT series, and the sarcomas and hippocampi excluded from evaluation, as pairs of files."""
    images, labels = output / "images", output / "labels"
    for folder in (images, labels):
        folder.mkdir(parents=True, exist_ok=True)
    series = to_sitk(Volume.read(data / "dicom" / "ct_abdomen_series"))
    truth = sitk.ReadImage(str(data / "dicom" / "ct_abdomen_series_label.nii.gz"))
    sitk.WriteImage(series, str(images / "ct_abdomen_series.nii.gz"))
    # The labels are stored with another y axis: resampled to the grid of the series, in patient space.
    aligned = sitk.Resample(truth, series, sitk.Transform(), sitk.sitkNearestNeighbor)
    sitk.WriteImage(aligned, str(labels / "ct_abdomen_series.nii.gz"))
    for patient in sorted(TRAINING_PATIENTS):
        for modality in MODALITIES:
            image = data / "sarcoma" / patient / f"{modality}_image.nii.gz"
            if image.exists():
                name = f"{patient}_{modality}.nii.gz"
                shutil.copyfile(image, images / name)
                shutil.copyfile(image.with_name(f"{modality}_mask.nii.gz"), labels / name)
    for path in training_hippocampi(data):
        shutil.copyfile(path, images / path.name)
        truth = sitk.ReadImage(str(path.parent.parent / "labels" / path.name))
        # Anterior and posterior are one object, as a person would outline it.
        sitk.WriteImage(sitk.Cast(truth > 0.5, sitk.sitkUInt8), str(labels / path.name))


if __name__ == "__main__":
    typer.run(main)
