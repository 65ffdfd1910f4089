"""napari with its plug-in for nnInteractive, in a window of its own: ``napari_window URL IMAGE STEPS MASKS PICTURE``.

Runs in napari's Python. Connects, sends the image, and carries out the steps as a person would on the layers of the
plug-in; saves the mask after each step, and a picture of the window.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import napari
import numpy as np
from qtpy.QtWidgets import QApplication

_SECONDS = 240.0
_LABELS = "nnInteractive - Label Layer"
_TOOLS = {"point": 0, "box": 1, "scribble": 2, "lasso": 3}


class Window:
    """The window with the plug-in."""

    def __init__(self, image: Any, spacing: list[float]) -> None:
        self.viewer = napari.Viewer(show=True)
        self.viewer.window.resize(1180, 660)
        self.viewer.add_image(image, name="image", scale=spacing, contrast_limits=np.percentile(image, (2, 99)))
        _, self.plugin = self.viewer.window.add_plugin_dock_widget("napari-nninteractive")

    def connect(self, url: str) -> list[str]:
        """Connect and send the image; return the tools that can be used."""
        plugin = self.plugin
        plugin.server_url_edit.setText(url)
        plugin.on_remote_settings_changed()
        plugin.connect_btn.click()
        wait(lambda: plugin._remote_connected)
        plugin.init_button.click()
        # The tools can be used before the image is there: only the dialog, which keeps people from it, says when it is.
        assert plugin._upload_dialog is not None
        wait(lambda: plugin._upload_dialog is None)
        wait(lambda: _LABELS in self.viewer.layers and plugin.interaction_button.buttons[0].isEnabled())
        return [name for name, number in _TOOLS.items() if plugin.interaction_button.buttons[number].isEnabled()]

    def carry_out(self, step: dict[str, Any]) -> None:
        """Do what a person does."""
        plugin, kind = self.plugin, step["kind"]
        if kind == "undo":
            plugin.on_undo()
        elif kind == "reset":
            plugin.on_reset_interactions()
        elif kind == "next":
            plugin.on_next()
        else:
            self._prompt(kind, np.array(step["at"], np.float64), positive=step["positive"])
        pump(0.3)

    def _prompt(self, kind: str, at: Any, *, positive: bool) -> None:
        plugin = self.plugin
        self.viewer.dims.set_current_step(0, round(float(at[0][0])))
        plugin.prompt_button._uncheck()
        plugin.prompt_button._check(0 if positive else 1)
        plugin.on_prompt_selected()
        plugin.interaction_button._uncheck()
        plugin.interaction_button._check(_TOOLS[kind])
        plugin.on_interaction_selected()
        wait(lambda: plugin.layer_dict[_TOOLS[kind]] in self.viewer.layers)
        layer = self.viewer.layers[plugin.layer_dict[_TOOLS[kind]]]
        if kind == "point":
            layer.add(at)
        elif kind == "box":
            layer.add(at, shape_type="rectangle")
        elif kind == "lasso":
            layer.add(at, shape_type="polygon")
        else:
            layer.brush_size = 1
            with layer.block_history():
                for place in at:
                    layer.paint(tuple(place), 1)

    @property
    def mask(self) -> Any:
        """The mask of the object."""
        return self.viewer.layers[_LABELS].data.astype(np.uint8)


def wait(condition: Callable[[], bool]) -> None:
    """Let the window work until something is so."""
    end = time.monotonic() + _SECONDS
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError
        pump(0.05)


def pump(seconds: float) -> None:
    """Let the window work."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        QApplication.processEvents()
        time.sleep(0.02)


def main(url: str, image_file: str, steps_file: str, masks_file: str, picture: str) -> None:
    steps = json.loads(Path(steps_file).read_text())
    window = Window(np.load(image_file), steps["spacing"])
    tools = window.connect(url)
    masks, refused = [], []
    for number, step in enumerate(steps["steps"]):
        if step["kind"] == "picture":
            window.viewer.dims.set_current_step(0, step["slice"])
            window.viewer.reset_view()
            pump(1)
            window.viewer.screenshot(picture, canvas_only=False, flash=False)
            continue
        try:
            window.carry_out(step)
        except httpx.HTTPStatusError as error:
            # napari shows it as a notification.
            refused.append([number, error.response.status_code, error.response.json()["detail"]])
        masks.append(window.mask)
    np.savez_compressed(masks_file, *masks)
    names = [layer.name for layer in window.viewer.layers]
    print(json.dumps({"tools": tools, "refused": refused, "layers": names}))  # noqa: T201  # the test reads it
    window.plugin._release_session()
    window.viewer.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
