"""MITK's reader of DICOM SEG, in MITK's Python: ``mitk_reader FILE FOLDER`` writes each label's voxels and grid."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import mitk
import numpy as np


def main(source: str, folder: Path) -> None:
    """Write ``NUMBER.npy`` for each label, and ``labels.json`` with names and grid."""
    (segmentation,) = mitk.IOUtil.load(source)
    said = {
        "names": {int(number): segmentation.get_label(number).name for number in segmentation.label_values},
        "spacing": list(map(float, segmentation.spacing)),
        "origin": list(map(float, segmentation.origin)),
        "direction": np.asarray(segmentation.direction).reshape(-1).tolist(),
    }
    for number in segmentation.label_values:
        np.save(folder / f"{number}.npy", np.asarray(segmentation.create_label_mask(number)) > 0)
    (folder / "labels.json").write_text(json.dumps(said))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
