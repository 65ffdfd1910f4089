"""3D Slicer's module MONAILabel on slicer-core, without windows: ``slicer_monai_label MODULE URL IMAGE POINTS``.

Runs in 3D Slicer's Python. Sets the points (RAS) as markups, lets the module turn them into voxel indices and ask the
server after each point from the sixth on, imports each answer into a segmentation node, and prints what is in it.
"""

from __future__ import annotations

import json
import sys
import tempfile
import types
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import SimpleITK as sitk
import slicer
import vtk
from vtk.util import numpy_support

_WINDOWS = ("ctk", "qt", "SampleData", "sitkUtils", "vtkSegmentationCore", "DICOMScalarVolumePlugin")


def import_module(folder: str) -> Any:
    """Import the module, with stand-ins for what needs windows."""
    for name in _WINDOWS:
        sys.modules[name] = mock.MagicMock()
    language = types.ModuleType("slicer.i18n")
    vars(language).update(tr=lambda text: text, translate=lambda *texts: texts[-1])
    sys.modules["slicer.i18n"] = language
    loadable = types.ModuleType("slicer.ScriptedLoadableModule")
    for part in ("", "Widget", "Logic", "Test"):
        name = f"ScriptedLoadableModule{part}"
        setattr(loadable, name, type(name, (), {"__init__": lambda self, *args, **options: None}))
    sys.modules["slicer.ScriptedLoadableModule"] = loadable
    if not hasattr(slicer, "util"):
        slicer.util = mock.MagicMock()
    sys.modules.setdefault("slicer.util", types.SimpleNamespace(VTKObservationMixin=object))  # type: ignore[arg-type]
    sys.path.insert(0, folder)
    import MONAILabel

    return MONAILabel


def geometry_node(node: Any, image: Any) -> Any:
    """Give a volume node the voxels and the place of an image; returns the matrix from indices to RAS."""
    array = sitk.GetArrayFromImage(image)
    data = vtk.vtkImageData()
    data.SetDimensions(*image.GetSize())
    data.GetPointData().SetScalars(numpy_support.numpy_to_vtk(array.ravel(), deep=True))
    node.SetAndObserveImageData(data)
    place = np.eye(4)
    place[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) @ np.diag(image.GetSpacing())
    place[:3, 3] = image.GetOrigin()
    place = np.diag([-1, -1, 1, 1]) @ place
    matrix = vtk.vtkMatrix4x4()
    for row in range(4):
        for column in range(4):
            matrix.SetElement(row, column, place[row, column])
    node.SetIJKToRASMatrix(matrix)
    return node


def main(folder: str, url: str, image_file: str, points_file: str) -> None:
    module = import_module(folder)
    logic = module.MONAILabelLogic(tmpdir=tempfile.mkdtemp(), server_url=url, client_id="test")
    info = logic.info()
    assert "config" not in info
    (model,) = [name for name, each in info["models"].items() if each["type"] == "deepgrow" and name == "annotation"]
    scene = slicer.vtkMRMLScene()
    image = sitk.ReadImage(image_file)
    volume = slicer.vtkMRMLScalarVolumeNode()
    scene.AddNode(volume)
    geometry_node(volume, image)
    markups = slicer.vtkMRMLMarkupsFiducialNode()
    scene.AddNode(markups)
    session = logic.create_session(image_file)["session_id"]
    answers = []
    points = json.loads(Path(points_file).read_text())
    for number, point in enumerate(points, start=1):
        markups.AddControlPoint(*point)
        seen = SimpleNamespace(_volumeNode=volume)
        foreground = module.MONAILabelWidget.getControlPointsXYZ(seen, markups, "foreground")
        assert logic.get_session(session)
        params = {"label": "liver", "foreground": foreground, "background": [], "reset_state": True}
        file_name, result = logic.infer(model, "", params, session_id=session)
        assert file_name.endswith(".nrrd"), file_name
        labels = [name for name, _ in sorted(result["label_names"].items(), key=lambda item: item[1])]
        mask = sitk.ReadImage(file_name)
        label_map = slicer.vtkMRMLLabelMapVolumeNode()
        scene.AddNode(label_map)
        geometry_node(label_map, mask)
        segmentation = slicer.vtkMRMLSegmentationNode()
        scene.AddNode(segmentation)
        # Without windows there is no factory of empty segments, so the module's second way: all labels of the map.
        imported = slicer.vtkSlicerSegmentationsModuleLogic.ImportLabelmapToSegmentationNode(label_map, segmentation)
        array = sitk.GetArrayFromImage(mask)
        answers.append(
            {
                "points": foreground,
                "labels": labels,
                "imported": bool(imported),
                "segments": segmentation.GetSegmentation().GetNumberOfSegments(),
                "voxels": np.flatnonzero(array).tolist() if number >= 6 else int(array.any()),
                "same_grid": np.allclose(mask.GetOrigin(), image.GetOrigin(), atol=1e-6)
                and np.allclose(mask.GetDirection(), image.GetDirection(), atol=1e-9)
                and np.allclose(mask.GetSpacing(), image.GetSpacing(), atol=1e-9),
            }
        )
    print(json.dumps(answers))  # noqa: T201  # the test reads it


if __name__ == "__main__":
    main(*sys.argv[1:])
