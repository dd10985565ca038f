"""Hostile programs: none leaves a trace outside its process, and each ends with the status that its kind deserves.

attacks.json and more_attacks.json hold {name, category, expect, code, note}. In the code {C} stands for a canary
folder and {P} for the port of a loopback listener; a successful attack would touch, read or connect to them.
expect: reject = refused before it runs; limit; invalid; error; contained = any status, as long as nothing happens.
"""

from __future__ import annotations

import json
import pickle
import socket
import sys
import threading
from pathlib import Path

import pytest

from iker_agent.program import ProgramResult, run_program

DATA = Path(__file__).parent / "data"
KEYPOINTS = json.loads((DATA / "replies.json").read_text())["scenes"]["shoe"]["keypoints"]
ATTACKS = [attack for name in ("attacks", "more_attacks") for attack in json.loads((DATA / f"{name}.json").read_text())]
SECRET = "sk-canary-5f1c0ffee"
STATUS = {"reject": "refused", "limit": "limit", "invalid": "invalid", "error": "error"}

# Where a status differs from the one that `expect` names, and why.
OTHERWISE = {
    # The language layer sees these before they could run or return.
    **dict.fromkeys(["except_all_loop", "yield_function", "complex_target"], "refused"),
    "assert_false": "error",  # assert is allowed; a failing one is the program's own error
    # Sound answers as such: whether they make sense in the scene is for the check of goals to say.
    **dict.fromkeys(["listed_not_moved", "stretch_points", "below_table", "out_of_workspace"], "ok"),
}


class Trap:
    """A folder and a listener that an attack would leave traces in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "secret.txt").write_text(SECRET)
        (folder / "evil.npy").write_bytes(pickle.dumps(_Touch(str(folder / "np_load_pickle"))))
        self.planted = sorted(folder.iterdir())
        self.server = socket.create_server(("127.0.0.1", 0))
        self.connections: list[object] = []
        self.thread = threading.Thread(target=self._listen)
        self.thread.start()

    def _listen(self) -> None:
        while True:
            connection, _ = self.server.accept()
            connection.close()
            if not self.connections and (self.folder / "closing").exists():
                return
            self.connections.append(connection)

    def close(self) -> None:
        (self.folder / "closing").touch()
        self.connections.clear()
        socket.create_connection(("127.0.0.1", self.port)).close()
        self.thread.join()
        self.server.close()

    @property
    def port(self) -> int:
        return self.server.getsockname()[1]

    def arm(self, code: str) -> str:
        return code.replace("{C}", str(self.folder)).replace("{P}", str(self.port))

    def assert_untouched(self, result: ProgramResult) -> None:
        assert sorted(self.folder.iterdir()) == self.planted
        assert self.connections == []
        assert SECRET not in repr(result)


class _Touch:
    """Unpickling it creates a file."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return (open, (self.path, "w"))


@pytest.fixture(scope="module")
def trap(tmp_path_factory):
    trap = Trap(tmp_path_factory.mktemp("canary"))
    yield trap
    trap.close()


@pytest.fixture(autouse=True)
def secret_in_environment(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    monkeypatch.setenv("PYTHONSTARTUP", SECRET)


def attack_and_check(code: str, trap: Trap) -> ProgramResult:
    result = run_program(trap.arm(code), KEYPOINTS, cpu_s=1, timeout_s=30)
    trap.assert_untouched(result)
    if result.status not in ("ok", "done"):
        assert result.targets == {} and len(result.message) > 10 and result.message.isprintable()
    return result


@pytest.mark.parametrize("attack", ATTACKS, ids=[attack["name"] for attack in ATTACKS])
def test_attack(attack, trap):
    result = attack_and_check(attack["code"], trap)
    if attack["expect"] != "contained":
        assert result.status == OTHERWISE.get(attack["name"], STATUS[attack["expect"]]), result


def test_the_trap_would_notice(trap):
    """The canaries work: the same deeds, done by this process, are seen."""
    (trap.folder / "touched").touch()
    with pytest.raises(AssertionError):
        trap.assert_untouched(ProgramResult("ok"))
    (trap.folder / "touched").unlink()
    with pytest.raises(AssertionError):
        trap.assert_untouched(ProgramResult("ok", object=SECRET))


DEFINITION = "def get_interaction_data(kp):\n    return"
TOO_DEEP = {
    "parentheses": DEFINITION + " " + "(" * 3000 + ")" * 3000,
    "minus": DEFINITION + " " + "-" * 15_000 + "1",
    "not": DEFINITION + " " + "not " * 4_000 + "1",
    "attributes": DEFINITION + " kp" + ".T" * 9_000,
    "subscripts": DEFINITION + " kp" + "[0]" * 6_000,
    "calls": DEFINITION + " kp" + "()" * 9_000,
    "sum": DEFINITION + " 1" + "+1" * 9_000,
    "power": DEFINITION + " 1" + "**1" * 6_000,
    "lists": DEFINITION + " " + "[" * 150 + "]" * 150,
    "lambdas": DEFINITION + " " + "lambda:" * 2_800 + "1",
    "conditions": DEFINITION + " 1" + " if 1 else 1" * 1_500,
    "assignments": DEFINITION + "\n" + "a=" * 9_900 + "1\n",
    "comparisons": DEFINITION + " 1" + "<1" * 9_000,
    "elif": DEFINITION + "\n    if 1:\n        pass\n" + "    elif 1:\n        pass\n" * 800,
    "indentation": DEFINITION + "\n" + "".join(" " * i + "if 1:\n" for i in range(1, 150)),
    "functions": "".join(" " * i + "def f():\n" for i in range(120)) + " " * 120 + "pass\n" + DEFINITION,
    "f-string": DEFINITION + " " + "f'{" * 150 + "1" + "}'" * 150,
    "statements": DEFINITION + "\n" + "    0;0;0;0\n" * 1_500,
    "characters": DEFINITION + "\n" + "#" * 20_000,
    "digits": DEFINITION + " " + "9" * 19_000,
    "open brackets": DEFINITION + " " + "{[(" * 3_000,
    "backslashes": DEFINITION + " " + "\\\n" * 9_000,
    "null": DEFINITION + " '\x00'",
    "surrogate": DEFINITION + " '\ud800'",
}


@pytest.mark.parametrize("code", TOO_DEEP.values(), ids=TOO_DEEP.keys())
def test_absurd_syntax_is_refused(code, trap):
    assert attack_and_check(code, trap).status == "refused"


def test_attacks_on_poses(trap):
    head = "def get_final_poses(object_poses):\n"
    for line in ("    open('{C}/x', 'w')\n", "    np.save('{C}/x', 1)\n", "    ().__class__\n"):
        result = run_program(trap.arm(head + line), {"shoe": [0.0] * 6}, "poses")
        trap.assert_untouched(result)
        assert result.status == "refused"


@pytest.mark.skipif(sys.platform != "linux", reason="the process's own files are Linux")
def test_the_child_has_no_environment_and_no_arguments_of_ours():
    from iker_agent.program import runner

    assert SECRET not in "".join(runner._environment().values())
