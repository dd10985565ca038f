"""What the cameras of a cell see: Cameras and their calibration as the View that estimators and prompts read."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from iker_envs.scene import Scene, View
from real_env.config import RealConfig


class Sight:
    def __init__(self, config: RealConfig) -> None:
        self._config = config

    def check(self) -> None: ...

    def view(self, template: Scene, hand: np.ndarray, truth: Mapping[str, np.ndarray]) -> View:
        raise ValueError("no cameras")

    def newest_rgb(self, role: str) -> np.ndarray | None:
        return None

    def close(self) -> None: ...
