"""The second contract: a program gives the final poses of objects, x, y, z, roll, pitch, yaw in metres and radians."""

from __future__ import annotations

import pytest
from program_here import run_here

from iker_agent.program import ProgramResult, run_program

POSES = {"shoe box": [0.65, 0.02, 0.1, 0.0, 0.0, 0.0], "left shoe": [0.38, 0.15, 0.04, 0.0, 0.0, 0.3]}
POSE_HEAD = "def get_final_poses(object_poses):\n    p = object_poses\n"


def run_poses(body: str) -> ProgramResult:
    return run_here(POSE_HEAD + "".join(f"    {line}\n" for line in body.splitlines()), POSES, "poses")


@pytest.mark.parametrize(
    "body",
    [
        "p['left shoe'] = [0.6, 0.1, 0.14, 0, 0, 0]\nreturn 'left shoe', True, p",
        "return 'left shoe', True, {'left shoe': np.array([0.6, 0.1, 0.14, 0.0, 0.0, 0.0])}",
        "p['left shoe'][:] = 0.6, 0.1, 0.14, 0, 0, 0\nreturn False, 'Left_Shoe', 'grasp', p",
        "return 'Left Shoe', True, {'left_shoe': [0.6, 0.1, 0.14, 0, 0, 0]}",
        "p['Left_Shoe'] = [0.6, 0.1, 0.14, 0, 0, 0]\nreturn 'left shoe', True, p",
        "p['shoe box'][5] += 2 * np.pi\np['left shoe'] = (0.6, 0.1, 0.14, 0, 0, 0)\nreturn ['left shoe', 1, p]",
    ],
)
def test_poses(body):
    result = run_poses(body)
    assert (result.status, result.object, result.indices, result.grasp) == ("ok", "left shoe", (), True), result.message
    assert result.targets == {"shoe box": tuple(POSES["shoe box"]), "left shoe": (0.6, 0.1, 0.14, 0.0, 0.0, 0.0)}


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ("return None", "done", ""),
        ("return True, None, False, p", "done", ""),
        ("pass", "invalid", "the program ends without a return; return None if the instruction is fulfilled"),
        ("p['left shoe'][0] += 0.1\nreturn", "invalid", "the program moves object left shoe but says done"),
        ("p['left shoe'][5] = 7\nreturn 'left shoe', True, p", "invalid", "the angles of object left shoe must be"),
        ("return 'cup', True, p", "invalid", "unknown object 'cup'; the objects are 'shoe box', 'left shoe'"),
        ("p['shoe box'][0] += 1\nreturn 'left shoe', True, p", "invalid", "object shoe box would move as well"),
        ("p['left shoe'][5] = 90\nreturn 'left shoe', True, p", "invalid", "the angles of object left shoe must be"),
        ("p['left shoe'] = p['left shoe'][:3]\nreturn 'left shoe', True, p", "invalid", "object left shoe needs"),
        ("return 'left shoe', True, {}", "invalid", "object_poses has no target for object left shoe"),
        ("return 'left shoe', ['left shoe'], True, p", "invalid", "the program must return (object_to_interact, gra"),
        ("return p['left shoe'].x", "refused", "line 3: the attribute x is not available"),
    ],
)
def test_poses_told(body, status, message):
    result = run_poses(body)
    assert (result.status, result.message[: len(message)]) == (status, message)


def test_poses_with_names_of_any_script():
    name = "\u9774 \u2116\u00a01"
    code = f"{POSE_HEAD}    p['{name}'][2] += 0.1\n    return '{name}', True, p\n"
    assert run_program(code, {name: [0.0] * 6}, "poses").targets == {name: (0.0, 0.0, 0.1, 0.0, 0.0, 0.0)}
