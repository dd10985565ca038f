"""How tests run sim=isaac: the worker in their own interpreter, on the double of isaacgym in fake_isaacgym/.

use_double(monkeypatch)     what follows uses the double
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from iker_envs.physics.isaac import client, launch

FOLDER = Path(__file__).with_name("fake_isaacgym")


def use_double(monkeypatch: pytest.MonkeyPatch, *, device: str = "cpu", spacing_m: float | None = 0.0) -> None:
    """Put the double on the worker's path, by default with all worlds at one origin.

    Isaac Gym keeps global positions in float32, so equal worlds at different origins differ in their last bits, and
    tests that compare worlds bit by bit need one origin. None leaves the spacing that users have.
    """
    monkeypatch.setenv(launch.PYTHON, sys.executable)
    monkeypatch.setenv(client.DEVICE, device)
    paths = [str(FOLDER), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    if spacing_m is not None:
        monkeypatch.setattr(client, "SPACING_M", spacing_m)
