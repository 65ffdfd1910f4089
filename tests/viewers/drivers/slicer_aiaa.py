"""3D Slicer's plug-in for AIAA on slicer-core, without windows: ``slicer_aiaa SOURCE URL IMAGE POINTS MASKS``.

Runs in 3D Slicer's Python. Sets six points (RAS) as markups and presses the plug-in's buttons; saves what is in the
segment after each.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import tempfile
import types
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import SimpleITK as sitk
import slicer
from slicer_monai_label import geometry_node

_WINDOWS = ("qt", "sitkUtils", "SegmentEditorEffects")


def import_plugin(source: Path, scene: Any, said: list[str], *, sessions: bool) -> Any:
    """Import the plug-in, with stand-ins for what needs windows; ``said`` takes what it shows to the person."""
    for name in _WINDOWS:
        sys.modules[name] = mock.MagicMock()
    sys.modules["SegmentEditorEffects"] = types.ModuleType("SegmentEditorEffects")
    sys.modules["SegmentEditorEffects"].AbstractScriptedSegmentEditorEffect = type(  # type: ignore[attr-defined]
        "AbstractScriptedSegmentEditorEffect", (), {"__init__": _take_effect, "__del__": lambda _: None}
    )
    # What its client and it take from NumPy and Python, and which have dropped it since.
    np.float = float  # type: ignore[attr-defined]
    sys.modules["qt"].QSettings().value.return_value = ""
    slicer.mrmlScene, slicer.app = scene, mock.MagicMock(majorVersion=5)
    slicer.util.tempDirectory = lambda _: tempfile.mkdtemp()
    logic = slicer.vtkSlicerSegmentationsModuleLogic()
    logic.SetMRMLScene(scene)
    slicer.modules = mock.MagicMock()
    slicer.modules.segmentations.logic = lambda: logic
    slicer.qSlicerSegmentEditorAbstractEffect = mock.MagicMock()
    util = slicer.util
    util.settingsValue = lambda key, default, **_: sessions if key.endswith("aiaaSession") else default
    for name in ("errorDisplay", "warningDisplay"):
        setattr(util, name, lambda text, **more: said.append(f"{text} {more.get('detailedText', '')}"))
    for name in ("mainWindow", "createProgressDialog", "confirmOkCancelDisplay"):
        setattr(util, name, mock.MagicMock())
    sys.modules["NvidiaAIAAClientAPI"] = types.ModuleType("NvidiaAIAAClientAPI")
    # The build of the plug-in copies it.
    load("NvidiaAIAAClientAPI.client_api", source / "py_client" / "client_api.py")
    folder = source / "slicer-plugin" / "NvidiaAIAA" / "SegmentEditorNvidiaAIAALib"
    module = load("SegmentEditorEffect", folder / "SegmentEditorEffect.py")
    # Its handlers of errors name what it does not import.
    module.traceback = __import__("traceback")
    return module


def _take_effect(plugin: Any, effect: Any) -> None:
    plugin.scriptedEffect = effect


def load(name: str, path: Path) -> Any:
    """Import a file under a name."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def make_effect(module: Any, scene: Any, volume: Any, url: str) -> Any:
    """The effect with an empty segment ``spleen``, as the segment editor makes it."""
    segmentation = slicer.vtkMRMLSegmentationNode()
    scene.AddNode(segmentation)
    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    editor = slicer.vtkMRMLSegmentEditorNode()
    scene.AddNode(editor)
    editor.SetAndObserveSegmentationNode(segmentation)
    editor.SetAndObserveSourceVolumeNode(volume)
    editor.SetSelectedSegmentID(segmentation.GetSegmentation().AddEmptySegment("spleen", "spleen"))
    effect = module.SegmentEditorEffect(mock.MagicMock())
    effect.scriptedEffect.parameterSetNode = lambda: editor
    effect.scriptedEffect.modifySelectedSegmentByLabelmap = lambda labelmap, _: (
        slicer.vtkSlicerSegmentationsModuleLogic.SetBinaryLabelmapToSegment(
            labelmap, segmentation, editor.GetSelectedSegmentID()
        )
    )
    effect.ui = mock.MagicMock()
    effect.ui.serverComboBox.currentText = url
    # It only moves what is shown.
    effect.updateGUIFromMRML = effect.updateMRMLFromGUI = effect.updateServerUrlGUIFromSettings = lambda: None
    effect.progressBar = mock.MagicMock()
    effect.logic = module.AIAALogic(url, progress_callback=lambda _: None)
    effect.annotationFiducialNode = slicer.vtkMRMLMarkupsFiducialNode()
    scene.AddNode(effect.annotationFiducialNode)
    return effect


def annotate(source: Path, url: str, image: Any, points: Any, said: list[str], *, sessions: bool) -> tuple[Any, Any]:
    """Set the points and press the button; returns what is in the segment, and the kinds of the models."""
    scene = slicer.vtkMRMLScene()
    module = import_plugin(source, scene, said, sessions=sessions)
    volume = slicer.vtkMRMLScalarVolumeNode()
    scene.AddNode(volume)
    geometry_node(volume, image)

    def push(answer: Any, *_: Any, **__: Any) -> Any:
        node = slicer.vtkMRMLLabelMapVolumeNode()
        scene.AddNode(node)
        return geometry_node(node, answer)

    module.sitkUtils.PushVolumeToSlicer = push
    slicer.util.saveNode = lambda _, file: sitk.WriteImage(image, file)
    effect = make_effect(module, scene, volume, url)
    effect.onClickFetchModels()
    effect.ui.annotationModelSelector.currentText = "annotation"
    for point in points:
        effect.annotationFiducialNode.AddFiducial(*point)
    effect.onClickAnnotation()
    editor = effect.scriptedEffect.parameterSetNode()
    name = editor.GetSelectedSegmentID()
    mask = slicer.util.arrayFromSegmentBinaryLabelmap(editor.GetSegmentationNode(), name, volume).astype(np.uint8)
    # The points come back from the segment.
    effect.onClickEditAnnotationFiducialPoints()
    assert effect.annotationFiducialNode.GetNumberOfControlPoints() == len(points), said
    if sessions:
        effect.closeAiaaSession()
    return mask, {name: model["type"] for name, model in effect.models.items()}


def main(source: str, url: str, image_file: str, points_file: str, masks_file: str) -> None:
    rule = slicer.vtkBinaryLabelmapToClosedSurfaceConversionRule()
    slicer.vtkSegmentationConverterFactory.GetInstance().RegisterConverterRule(rule)
    image, points = sitk.ReadImage(image_file), json.loads(Path(points_file).read_text())
    said: list[str] = []
    masks: dict[str, Any] = {}
    models: dict[str, str] = {}
    for kind in ("session", "cut"):
        masks[kind], models = annotate(Path(source), url, image, points, said, sessions=kind == "session")
    np.savez_compressed(masks_file, **masks)
    print(json.dumps({"said": said, "models": models}))  # noqa: T201  # the test reads it


if __name__ == "__main__":
    main(*sys.argv[1:])
