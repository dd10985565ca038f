"""A contract is one object: its function, vocabulary, reader, checks and prompt; a third one needs nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import pytest

from iker_agent.program import extract_program, run_program
from iker_agent.program.rows import KEYPOINT_ROWS, Rows
from iker_agent.program.signature import Invalid, Reading, Signature
from iker_agent.program.signatures import CONTRACTS, SIGNATURES
from iker_agent.program.targets import read_row
from iker_agent.program.vocabulary import Vocabulary
from iker_agent.prompt_kinds import PROMPTS, check_prompt, prompt_kind

POINTS = {"1": (0.5, 0.0, 0.1), "2": (0.5, 0.1, 0.1)}


@dataclass(frozen=True)
class WaypointSignature(Signature):
    """A third contract, for this test: get_waypoints(points) gives a list of positions, x, y, z in metres."""

    def read(self, value: Any, originals: Rows, argument: Any = None) -> Reading:
        if not isinstance(value, list):
            raise Invalid("the program must return a list of waypoints")
        targets = {str(i): read_row(row, str(i), self.rows) for i, row in enumerate(value)}
        return Reading(object="gripper", moving=tuple(targets), targets=targets)

    def implausible(self, reading: Reading, originals: Rows) -> str:
        low = [label for label in reading.moving if reading.targets[label][2] < 0]
        return f"waypoint {low[0]} is below the table" if low else ""


WAYPOINTS = WaypointSignature(
    name="waypoints",
    function="get_waypoints",
    argument="points",
    returns=("waypoints",),
    rows=KEYPOINT_ROWS,
    prompt="multi_stage",
    vocabulary=Vocabulary(frozenset({"math"}), {"m": "math"}),
)


@pytest.fixture
def waypoints(monkeypatch):
    monkeypatch.setitem(SIGNATURES, "waypoints", WAYPOINTS)


def run(line: str):
    return run_program(f"def get_waypoints(points):\n    {line}\n", POINTS, "waypoints")


def test_a_third_contract_is_found_run_read_and_checked(waypoints):
    code, _ = extract_program(
        "```python\ndef get_waypoints(points):\n    return [points['1'], points['2']]\n```", "waypoints"
    )
    result = run_program(code, POINTS, "waypoints")
    assert (result.status, result.object, result.indices) == ("ok", "gripper", ())
    assert result.targets == {"0": POINTS["1"], "1": POINTS["2"]}
    assert run("return points").message == "the program must return a list of waypoints"
    assert run("return [[0.5, 0.0, -0.1]]").message == "waypoint 0 is below the table"


def test_a_third_contract_has_a_vocabulary_of_its_own(waypoints):
    assert run("return [[m.cos(0.0), 0, 0]]").targets == {"0": (1.0, 0.0, 0.0)}
    assert run("import math\n    return [[math.cos(0.0), 0, 0]]").status == "ok"
    assert "import of numpy is not allowed" in run("import numpy\n    return [numpy.zeros(3)]").message
    assert run("return [np.zeros(3)]").message == "line 2: NameError: name 'np' is not defined"


def test_a_contract_cannot_widen_the_language():
    with pytest.raises(ValueError, match=r"unknown modules.*os"):
        Vocabulary.from_dict({"modules": ["math", "os"], "known": {}})
    with pytest.raises(ValueError, match=r"unknown modules.*os"):
        Vocabulary.from_dict({"modules": [], "known": {"x": "os"}})


@pytest.mark.parametrize("signature", SIGNATURES.values(), ids=SIGNATURES)
def test_the_prompt_of_a_contract_asks_for_its_function(signature):
    kind = prompt_kind("auto", signature.name)
    assert kind.contract == signature.name and kind is PROMPTS[signature.prompt]
    check_prompt(signature.prompt, signature.name)
    text = files("iker_cfg").joinpath(f"prompts/{signature.prompt}.md").read_text(encoding="utf-8")
    assert f"def {signature.function}({signature.argument}):" in text
    assert f"return {', '.join(signature.returns)}\n" in text
    assert all(f"- `{name}`:" in text for name in signature.returns)


def test_every_prompt_file_asks_for_the_function_of_its_contract():
    for kind in PROMPTS.values():
        signature = SIGNATURES[kind.contract]
        text = files("iker_cfg").joinpath(f"prompts/{kind.files[0]}.md").read_text(encoding="utf-8")
        assert f"def {signature.function}({signature.argument}):" in text


def test_the_list_of_contracts_is_the_only_one():
    from iker_agent.authoring import check
    from iker_agent.commands import bench

    assert CONTRACTS == tuple(SIGNATURES) == ("keypoints", "poses")
    assert check.CONTRACTS is CONTRACTS and bench.CONTRACTS is CONTRACTS
