"""The loop with scripted programs and the waypoint learner: what is asked for happens, and what fails says so."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from iker_agent.cli import main
from iker_agent.config import make_config
from iker_agent.loop import run_task
from iker_agent.program.runner import run_program
from iker_agent.records.report import write_report
from iker_agent.records.run_folder import Folder
from iker_agent.vlm.types import Reply
from tests.quiet_display import Quiet

PUSH = """
def get_interaction_data(keypoint_coordinates):
    kp = keypoint_coordinates
    shift = np.array([{x}, {y}, {z}])
    for k in ["5", "6", "7", "8"]:
        kp[k] = kp[k] + shift
    return "left_shoe", ["5", "6", "7", "8"], False, kp
"""
DONE = "def get_interaction_data(keypoint_coordinates):\n    return\n"


class Scripted:
    """A backend that gives one answer after another, the last one for ever."""

    def __init__(self, *programs: str) -> None:
        self.programs = list(programs)
        self.requests = []

    def complete(self, request):
        self.requests.append(request)
        code = self.programs.pop(0) if len(self.programs) > 1 else self.programs[0]
        return Reply(f"```python\n{code}\n```", backend="scripted")


def run(path: Path, *programs: str, task="shoe_push", **top):
    config = make_config(("run.video=false", "run.repairs=1", "run.retries=0"), learner="waypoint", task=task, **top)
    vlm = Scripted(*programs)
    display = Quiet()
    result = run_task(config, Folder(path), display, vlm)
    write_report(path)
    return result, vlm, display


def shoe(path: Path) -> np.ndarray:
    return np.array(json.loads((path / "outcome.json").read_text())["objects"]["left_shoe"]["position_m"])


def test_another_program_gives_another_goal_and_another_final_pose(tmp_path):
    shifts = {"near": (0.0, -0.10, 0.0), "far": (0.04, -0.14, 0.0)}
    ends = {}
    for name, (x, y, z) in shifts.items():
        result, _, _ = run(tmp_path / name, PUSH.format(x=x, y=y, z=z), DONE)
        goal = np.array(json.loads((tmp_path / name / "stage_01" / "goal.json").read_text())["target_pose"][:3])
        ends[name] = goal, shoe(tmp_path / name)
        assert result.done and result.stages[0].ok
    assert np.linalg.norm(ends["near"][0] - ends["far"][0]) == pytest.approx(np.hypot(0.04, 0.04), abs=0.005)
    for goal, end in ends.values():
        assert np.linalg.norm(end - goal) < 0.03


def test_done_at_once_is_not_success_while_the_task_is_not_done(tmp_path):
    result, _, _ = run(tmp_path, DONE)
    assert result.done and not result.success and result.stages == []
    assert json.loads((tmp_path / "run.json").read_text())["success"] is False


@pytest.mark.parametrize(
    "program, words",
    [
        ("def get_interaction_data(k):\n    raise KeyError('nowhere')\n", "line 2: KeyError"),
        ("def get_interaction_data(k):\n    while True:\n        pass\n", "time"),
        (PUSH.format(x="float('nan')", y=0, z=0), "finite"),
        (PUSH.format(x=0, y=0, z=1.0), "100 cm above"),
        (PUSH.format(x=0, y=0, z=0.5), "above what is under it"),
        (PUSH.format(x=0.0, y=-2.0, z=0), "would travel 2.00 m"),
        (PUSH.format(x=0.02, y=-0.27, z=0), "inside right_shoe"),
        ("import os\ndef get_interaction_data(k):\n    return os.getcwd()\n", "import of os is not allowed"),
    ],
)
def test_a_bad_program_ends_in_one_sentence_and_a_readable_folder(tmp_path, monkeypatch, program, words):
    monkeypatch.setitem(run_program.__kwdefaults__, "cpu_s", 1)  # one program never ends
    result, vlm, display = run(tmp_path, program)
    assert not result.success and not result.done
    assert words in result.reason and "\n" not in result.reason
    assert len(vlm.requests) == 2 and words in vlm.requests[1].messages[-1].parts[0].text
    assert any(words in note for note in display.notes)
    record = json.loads((tmp_path / "run.json").read_text())
    assert words in record["stages"][0]["problem"]
    for name in ("view.png", "marked.png", "keypoints.json", "prompt.md", "reply.md", "program.py", "scene.yaml"):
        assert (tmp_path / "stage_01" / name).stat().st_size > 0
    assert words in (tmp_path / "report.html").read_text(encoding="utf-8").replace("&#39;", "'")


def test_a_refused_program_is_repaired_and_the_history_is_told(tmp_path):
    good = PUSH.format(x=0.0, y=-0.10, z=0.0)
    result, vlm, _ = run(tmp_path, "no program here", good, DONE)
    assert result.stages[0].answers == 2 and result.stages[0].ok
    final = vlm.requests[2].messages
    assert len(final) == 1, "repair turns do not enter the history"
    texts = [part.text for part in final[0].parts]
    assert any("This stage succeeded" in text for text in texts) and any(good.strip() in text for text in texts)
    assert sum(part.image is not None for part in final[0].parts) == 2


def test_a_miss_is_tried_again_until_the_budget_ends(tmp_path, monkeypatch):
    from iker_agent.learning.waypoint import WaypointPolicy

    monkeypatch.setattr(WaypointPolicy, "act", lambda self, observations: np.zeros((len(observations), 6)))
    config = make_config(("run.video=false", "run.retries=1"), learner="waypoint", task="shoe_push")
    result = run_task(config, Folder(tmp_path), Quiet())
    assert [s.attempt for s in result.stages] == [1, 2] and not result.success
    assert "no retries left after stage 2" in result.reason


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_the_shoe_rack_is_done_by_annotated_programs(tmp_path, seed):
    config = make_config(("run.video=false",), learner="waypoint", seed=seed)
    result = run_task(config, Folder(tmp_path), Quiet())
    assert result.success, result.reason
    outcome = json.loads((tmp_path / "outcome.json").read_text())
    left, right = (np.array(outcome["objects"][f"{side}_shoe"]["position_m"]) for side in ("left", "right"))
    assert abs(left[2] - 0.045 - outcome["rack_top_m"]) < 0.02 and abs(right[2] - 0.045 - outcome["rack_top_m"]) < 0.02
    assert left[1] - right[1] > 0.10
    actions = [s.action for s in result.stages]
    assert actions[0] == "push shoe_box" and actions[-1] == "grasp and place right_shoe"


@pytest.mark.parametrize(
    "arguments, words",
    [
        (("run", "--learner", "magic"), "learner 'magic' is unknown; known: ppo, waypoint"),
        (("run", "--task", "no_such"), "no task 'no_such'; known:"),
        (("run", "learn.buget_s=3"), "did you mean 'learn.budget_s'"),
        (("run", "--configuration", "99"), "configuration 99 does not exist"),
        (("run", "--preset", "papr"), "preset 'papr' does not exist; known: paper"),
    ],
)
def test_wrong_usage_is_one_sentence_and_exit_code_2(tmp_path, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["iker", *arguments])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2 and words in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [], "wrong usage leaves nothing behind"


def test_a_run_folder_is_not_overwritten(tmp_path, monkeypatch, capsys):
    (tmp_path / "run.json").write_text("{}")
    monkeypatch.setattr(sys, "argv", ["iker", "run", "--learner", "waypoint", "--out", str(tmp_path)])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2 and "already holds a run" in capsys.readouterr().err
    assert (tmp_path / "run.json").read_text() == "{}"


@pytest.mark.skipif(os.name != "posix", reason="SIGINT is sent the POSIX way")
def test_interrupting_leaves_a_readable_folder(tmp_path):
    code = "from iker_agent.cli import main; main()"
    command = (sys.executable, "-c", code, "run", "--out", str(tmp_path / "run"))
    command += ("learn.num_envs=64", "learn.warm_start=false")
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    give_up = time.monotonic() + 120
    while not (tmp_path / "run" / "stage_01" / "goal.json").exists() and time.monotonic() < give_up:
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    printed, _ = process.communicate(timeout=120)
    assert process.returncode == -signal.SIGINT and "interrupted" in printed and "Traceback" not in printed
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["reason"] == "interrupted" and record["success"] is False
    assert "interrupted" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8").lower()
