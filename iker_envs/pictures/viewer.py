"""A window on one world, for render_mode "human": MuJoCo's own viewer, at the speed of life.

Needs a display; everything else of the environments does without.
"""

from __future__ import annotations

import os
import sys
import time

import mujoco


def has_display() -> bool:
    """Can a window be opened on this machine?"""
    return not sys.platform.startswith("linux") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def check_display() -> None:
    """RuntimeError with one sentence if no window can be opened here."""
    if not has_display():
        raise RuntimeError(
            "render_mode 'human' opens a window, and there is no display here (DISPLAY is not set); use 'rgb_array'"
        )


class Viewer:
    """Shows one model and its data; `show` draws the data as they are now and waits for the next tick."""

    def __init__(self, model: mujoco.MjModel, data: mujoco.MjData, tick_s: float) -> None:
        from mujoco import viewer  # needs OpenGL, which headless machines may lack

        self._window = viewer.launch_passive(model, data, show_left_ui=False, show_right_ui=False)
        self._tick_s = tick_s
        self._next = time.monotonic()

    def show(self) -> None:
        """Draw, and keep to real time."""
        self._window.sync()
        self._next = max(self._next + self._tick_s, time.monotonic())
        time.sleep(max(0.0, self._next - time.monotonic()))

    def close(self) -> None:
        """Close the window."""
        self._window.close()
