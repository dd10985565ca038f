"""The annotated backend: a program is done with when its object is where it wants it and points where it wants it to;
a program that there was no time to run ends a benchmark so that it can be continued."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

from iker_agent.config import make_config
from iker_agent.experiments import stills
from iker_agent.experiments.bench_rows import RowFile
from iker_agent.experiments.items import load_items
from iker_agent.experiments.vlm_bench import Bench, BenchPlan
from iker_agent.program import run_program
from iker_agent.program.result import ProgramResult
from iker_agent.records.run_folder import Folder
from iker_agent.vlm import annotated
from iker_agent.vlm.annotated import AnnotatedVLM
from iker_agent.vlm.errors import VLMUnavailable
from iker_agent.vlm.types import Message, Part, Request
from iker_envs.geometry import pose_apply
from iker_envs.scene import turned_pose

HALF = np.array([[0.06, 0, 0], [-0.06, 0, 0], [0, 0.03, 0], [0, -0.03, 0]])
WANTED = (0.5, 0.1, 0.05, 0.0, 0.0, 0.0)
PROGRAMS = {
    "poses": f"def get_final_poses(p):\n    p['brick'] = {list(WANTED)}\n    return 'brick', True, p\n",
    "keypoints": (
        "import numpy as np\n\n\ndef get_interaction_data(kp):\n    half = "
        f"np.array({HALF.tolist()})\n    for k in range(4):\n"
        f"        kp[str(k + 1)] = np.array({WANTED[:3]}) + half[k]\n"
        "    return 'brick', ['1', '2', '3', '4'], True, kp\n"
    ),
}
# Changes of x, y, z, roll, pitch, yaw (degrees) against what the program wants, and whether something is left to do.
STARTS = {
    "there": ((0, 0, 0, 0, 0, 0), False),
    "all but there": ((0.01, -0.01, 0, 0, 0, 8), False),
    "4 cm beside": ((0, 0.04, 0, 0, 0, 0), True),
    "crooked": ((0, 0, 0, 0, 0, 25), True),
    "a quarter turn": ((0, 0, 0, 0, 0, 90), True),
    "half a turn": ((0, 0, 0, 0, 0, 180), True),
    "upside down": ((0, 0, 0, 180, 0, 0), True),
    "on its side": ((0, 0, 0, 90, 0, 0), True),
}


def rows_of(contract: str, change) -> dict[str, tuple[float, ...]]:
    six = np.add(WANTED, [*change[:3], *np.deg2rad(change[3:])])
    if contract == "poses":
        return {"brick": tuple(six)}
    points = pose_apply(turned_pose(six[:3], six[3:]), HALF)
    return {str(k + 1): tuple(point) for k, point in enumerate(points)}


@pytest.mark.parametrize("contract", PROGRAMS)
@pytest.mark.parametrize("start", STARTS)
def test_a_program_is_done_with_when_place_and_direction_are_reached(start, contract, warm_programs):
    change, is_left = STARTS[start]
    vlm = AnnotatedVLM([PROGRAMS[contract]], contract)
    request = Request((Message("user", (Part("Straighten the brick"),)),), {contract: rows_of(contract, change)})
    text = vlm.complete(request).text
    assert ("brick" in text) == is_left, text


def test_the_clock_leaves_a_busy_machine_time_where_processor_time_is_the_limit():
    pytest.importorskip("resource")
    defaults = {name: p.default for name, p in inspect.signature(run_program).parameters.items()}
    assert defaults["timeout_s"] >= 20 * defaults["cpu_s"]


@pytest.fixture
def starved(monkeypatch):
    """From the third program on there is no time left, as on a machine that does too much else."""
    calls = []

    def run(code, rows, *args, **kwargs):
        calls.append(code)
        return (
            ProgramResult("limit", "it took too long") if len(calls) > 2 else run_program(code, rows, *args, **kwargs)
        )

    monkeypatch.setattr(annotated, "run_program", run)
    return monkeypatch


def test_a_benchmark_that_had_no_time_for_a_program_goes_on_where_it_was(starved, tmp_path, blank_view, warm_programs):
    starved.setattr(stills, "still_view", lambda scene, cameras, size: blank_view(scene))
    items = [item for item in load_items("hard") if item.name in ("leftmost_mug", "no_cupboard", "middle_mug")]
    plan = BenchPlan(tuple(items), ("poses",), make_config(("run.repairs=0",)))
    folder = Folder(tmp_path)
    with pytest.raises(VLMUnavailable, match="could not be run to its end: it took too long"):
        list(Bench(plan, folder, RowFile(folder)).rows())
    known = [row.item for row in RowFile(folder).rows]
    assert known == ["leftmost_mug"]
    starved.setattr(annotated, "run_program", run_program)
    rows = list(Bench(plan, folder, RowFile(folder)).rows())
    assert [row.item for row in rows] == ["middle_mug", "no_cupboard"] and all(row.right for row in rows)
