"""Events in words: directions as the robot sees them, and a guide that shows every kind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from iker_envs.events import EventKind
from iker_envs.judging.directions import too_far


def test_the_guide_shows_every_kind():
    guide = (Path(__file__).parents[1] / "docs/vlm.md").read_text(encoding="utf-8")
    assert [kind for kind in EventKind if f"| `{kind}` |" not in guide] == []


@pytest.mark.parametrize(
    ("offset", "heading", "tilt", "words"),
    [
        ((-0.02, 0.08, 0.0), 20.0, 0.0, "8 cm too far left, turned 20 degrees too far to the left"),
        ((-0.03, 0.08, 0.0), -20.0, 0.0, "8 cm too far left, 3 cm too near, turned 20 degrees too far to the right"),
        (
            (0.12, -0.11, -0.10),
            0.0,
            30.0,
            "12 cm too far away, 11 cm too far right, 10 cm too low, tilted by 30 degrees",
        ),
        ((0.0, 0.0, 0.029), 5.0, 5.0, "2.9 cm too high"),
        ((0.001, 0.0, 0.0), 0.0, 0.0, ""),
    ],
)
def test_an_error_in_words_is_as_the_robot_sees_it(offset, heading, tilt, words):
    assert too_far(np.array(offset), heading, tilt) == words
