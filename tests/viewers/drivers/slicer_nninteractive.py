"""3D Slicer's extension nnInteractive on slicer-core, without windows: ``drive... MODULE URL IMAGE STEPS MASKS``.

Runs in 3D Slicer's Python. Sets the extension up as 3D Slicer does, connects, gives it the prompts that its views
would (RAS), and saves the segment after each.
"""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import slicer

_WINDOWS = ("ctk", "qt", "SampleData", "PythonQt", "PythonQt.QtGui", "qSlicerSegmentationsModuleWidgetsPythonQt")


class Editor(mock.MagicMock):
    """The segment editor's widget: what it shows is in its node."""

    node: Any = None

    def setMRMLSegmentEditorNode(self, node: Any) -> None:  # noqa: N802  # 3D Slicer's names
        self.node = node

    def mrmlSegmentEditorNode(self) -> Any:  # noqa: N802
        return self.node

    def segmentationNode(self) -> Any:  # noqa: N802
        return self.node.GetSegmentationNode()

    def setSegmentationNode(self, node: Any) -> None:  # noqa: N802
        self.node.SetAndObserveSegmentationNode(node)

    def sourceVolumeNode(self) -> Any:  # noqa: N802
        return self.node.GetSourceVolumeNode()

    def setSourceVolumeNode(self, node: Any) -> None:  # noqa: N802
        self.node.SetAndObserveSourceVolumeNode(node)


def import_module(folder: str, scene: Any, ui: Any, said: list[str]) -> Any:
    """Import the module, with stand-ins for what needs windows; ``said`` takes what it shows to the person."""
    for name in _WINDOWS:
        sys.modules[name] = mock.MagicMock()
    vars(sys.modules["qt"])["QObject"] = object
    language = types.ModuleType("slicer.i18n")
    vars(language).update(tr=lambda text: text, translate=lambda *texts: texts[-1])
    sys.modules["slicer.i18n"] = language
    loadable = types.ModuleType("slicer.ScriptedLoadableModule")
    for part in ("", "Widget", "Logic", "Test"):
        name = f"ScriptedLoadableModule{part}"
        methods = {"__init__": lambda self, *args: None, "setup": lambda self: None, "layout": mock.MagicMock()}
        setattr(loadable, name, type(name, (), methods | {"resourcePath": lambda self, name: name}))
    sys.modules["slicer.ScriptedLoadableModule"] = loadable
    slicer.mrmlScene, slicer.app = scene, mock.MagicMock()
    logic = slicer.vtkSlicerSegmentationsModuleLogic()
    logic.SetMRMLScene(scene)
    slicer.modules = mock.MagicMock()
    slicer.modules.segmentations.logic = lambda: logic
    util = slicer.util
    util.settingsValue = lambda key, default, **_: "remote" if key.endswith("/mode") else default
    for name in ("errorDisplay", "warningDisplay", "showStatusMessage"):
        setattr(util, name, lambda text, *_, **__: said.append(str(text)))
    for name in ("mainWindow", "loadUI", "findChild"):
        setattr(util, name, mock.MagicMock())
    util.childWidgetVariables = lambda _: ui
    sys.path.insert(0, folder)
    import SlicerNNInteractive

    return SlicerNNInteractive


def add_image(scene: Any, file: str) -> Any:
    """Add an image from a file, with its place in the patient."""
    storage = slicer.vtkMRMLVolumeArchetypeStorageNode()
    storage.SetFileName(file)
    scene.AddNode(storage)
    volume = slicer.vtkMRMLScalarVolumeNode()
    scene.AddNode(volume)
    assert storage.ReadData(volume)
    return volume


def carry_out(widget: Any, step: dict[str, Any]) -> None:
    """Give a prompt as the extension's views do, or press a button."""
    kind = step["kind"]
    if kind == "undo":
        widget.on_undo()
        return
    if kind == "reset":
        widget.clear_current_segment()
        return
    if kind == "next":
        widget.on_next_segment()
        return
    points, positive = [widget.ras_to_xyz(point) for point in step["at"]], step["positive"]
    if kind == "point":
        widget.point_prompt(xyz=points[0], positive_click=positive)
    elif kind == "box":
        widget.bbox_prompt(points[0], points[1], positive_click=positive)
    elif kind == "lasso":
        crop, box = widget.lasso_points_to_crop(points)
        widget.lasso_or_scribble_prompt(crop, box, positive_click=positive, tp="lasso")
    else:
        mask = np.zeros(widget.get_image_data().shape, np.uint8)
        for x, y, z in points:
            mask[z, y, x] = 1
        widget.lasso_or_scribble_prompt(*widget._mask_to_crop(mask), positive_click=positive, tp="scribble")


def main(folder: str, url: str, image_file: str, steps_file: str, masks_file: str) -> None:
    scene, ui, said = slicer.vtkMRMLScene(), mock.MagicMock(), list[str]()
    # 3D Slicer does so when it starts.
    scene.RegisterNodeClass(slicer.vtkMRMLSegmentEditorNode())
    rule = slicer.vtkBinaryLabelmapToClosedSurfaceConversionRule()
    slicer.vtkSegmentationConverterFactory.GetInstance().RegisterConverterRule(rule)
    ui.editor_widget = Editor()
    ui.serverUrlEdit.text = url
    module = import_module(folder, scene, ui, said)
    volume = add_image(scene, image_file)
    # They lay out windows, and nothing else.
    for name in ("setup_config_ui", "setup_prompts_tab_extras"):
        setattr(module.SlicerNNInteractiveWidget, name, lambda self: None)
    widget = module.SlicerNNInteractiveWidget()
    widget.setup()
    ui.editor_widget.setSourceVolumeNode(volume)
    widget.server = url
    widget.connect_clicked()
    assert widget.session is not None, said
    masks, refused = [], []
    for number, step in enumerate(json.loads(Path(steps_file).read_text())):
        try:
            carry_out(widget, step)
        except Exception as error:  # what 3D Slicer shows in its log
            refused.append([number, str(error)])
        masks.append(widget.get_segment_data())
    segmentation, _ = widget.get_selected_segmentation_node_and_segment_id()
    np.savez_compressed(masks_file, *masks)
    widget.release_session()
    answer = {"said": said, "refused": refused, "segments": segmentation.GetSegmentation().GetNumberOfSegments()}
    print(json.dumps(answer))  # noqa: T201  # the test reads it


if __name__ == "__main__":
    main(*sys.argv[1:])
