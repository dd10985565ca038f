"""Hostile programs: none leaves a trace outside its process, and each ends with the status that its kind deserves.

attacks.json and more_attacks.json hold {name, category, expect, code, note}. In the code {C} stands for a canary
folder and {P} for the port of a loopback listener; a successful attack would touch, read or connect to them.
expect: reject = refused before it runs; limit; invalid; error; contained = any status, as long as nothing happens.
"""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from program_here import run_here

import iker_agent.program
from iker_agent.program import ProgramResult, run_program
from iker_agent.program.checks import Refused
from iker_agent.program.language import admit
from iker_agent.program.result import clean_line

DATA = Path(__file__).parent / "data"
KEYPOINTS = json.loads((DATA / "replies.json").read_text())["scenes"]["shoe"]["keypoints"]
ATTACKS = [attack for name in ("attacks", "more_attacks") for attack in json.loads((DATA / f"{name}.json").read_text())]
SECRET = "sk-canary-5f1c0ffee"
STATUS = {"reject": "refused", "limit": "limit", "invalid": "invalid", "error": "error"}

# Where a status differs from the one that `expect` names, and why.
OTHERWISE = {
    # The language layer sees these before they could run or return.
    **dict.fromkeys(["except_all_loop", "yield_function", "complex_target"], "refused"),
    "stopiteration": "error",  # so is a StopIteration
    "assert_false": "error",  # assert is allowed; a failing one is the program's own error
}

# These burn processor time up to the limit; others of their kind stay in the fast set.
BURNERS = [
    "dag_billion_laughs",
    "dag_equality",
    "endless_handler",
    "endless_max",
    "error_dag_argument",
    "for_huge_range",
    "huge_power",
    "list_append_loop",
    "memory_dict",
    "memory_error_caught",
    "pow_10_8",
    "print_flood",
    "sort_quadratic",
    "sum_c_loop",
    "top_level_loop",
    "tuple_hash_dag",
    "cache_endless",
    "endless_accumulate_list",
    "endless_comb",
    "endless_count_list",
    "endless_counter_elements",
    "endless_cycle_max",
    "endless_factorial",
    "endless_fromiter_count",
    "endless_merge_count",
    "endless_permutations_list",
    "endless_product_list",
    "endless_repeat_deque",
    "example_endless",
    "memory_cdist",
    "own_repr_endless",
    "reduce_product",
]


def expected(attack: dict) -> str:
    """The status that an attack must end with; "contained" for any."""
    return OTHERWISE.get(attack["name"], STATUS.get(attack["expect"], "contained"))


def _parameter(attack: dict):
    marks = [pytest.mark.slow] if attack["name"] in BURNERS else []
    return pytest.param(attack, id=attack["name"], marks=marks)


class Trap:
    """A folder and a listener that an attack would leave traces in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "secret.txt").write_text(SECRET)
        (folder / "evil.npy").write_bytes(pickle.dumps(_Touch(str(folder / "np_load_pickle"))))
        self.planted = sorted(folder.iterdir())
        self.server = socket.create_server(("127.0.0.1", 0))
        self.connections = 0
        self.closing = threading.Event()
        self.thread = threading.Thread(target=self._listen)
        self.thread.start()

    def _listen(self) -> None:
        while True:
            self.server.accept()[0].close()
            if self.closing.is_set():
                return
            self.connections += 1

    def close(self) -> None:
        self.closing.set()
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
        assert self.connections == 0
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
    result = run_program(trap.arm(code), KEYPOINTS, cpu_s=1, timeout_s=60)
    trap.assert_untouched(result)
    if result.status not in ("ok", "done"):
        assert result.targets == {} and len(result.message) > 10 and result.message.isprintable()
    return result


# What is refused never runs, and what ends by itself is stopped by the language alone: it is decided in this process,
# and some of each kind go through a process of their own as well. What may not end always does.
REJECTED = [attack for attack in ATTACKS if expected(attack) == "refused"]
ENDING = [attack for attack in ATTACKS if expected(attack) in ("invalid", "error")]
ISOLATED = [attack for attack in ATTACKS if attack not in REJECTED and attack not in ENDING]
ISOLATED += REJECTED[:: len(REJECTED) // 12] + ENDING[:: len(ENDING) // 12]


@pytest.mark.parametrize("attack", [_parameter(attack) for attack in ISOLATED])
def test_attack(attack, trap):
    result = attack_and_check(attack["code"], trap)
    if attack["expect"] != "contained":
        assert result.status == expected(attack), result


@pytest.mark.parametrize("attack", REJECTED, ids=[attack["name"] for attack in REJECTED])
def test_a_rejected_attack_is_told_why(attack):
    with pytest.raises(Refused) as refused:
        admit(attack["code"], "get_interaction_data")
    assert len(str(refused.value)) > 10 and clean_line(str(refused.value))


@pytest.mark.parametrize("attack", ENDING, ids=[attack["name"] for attack in ENDING])
def test_an_attack_that_ends_by_itself(attack, trap):
    result = run_here(trap.arm(attack["code"]), KEYPOINTS)
    trap.assert_untouched(result)
    assert result.status == expected(attack), result
    assert result.targets == {} and len(result.message) > 10 and result.message.isprintable()


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


# ---------------------------------------------------------------------- each layer by itself

PACKAGE = Path(iker_agent.program.__file__).parent
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="the lock-down of processes is complete on Linux only")
HARMFUL = [attack for attack in ATTACKS if "{C}" in attack["code"] or "{P}" in attack["code"]]

# Runs programs from standard input with the copy of the package in the folder given, results as JSON lines: as the
# package does it, or each in a fork of one process that has loaded numpy, which is a tenth of the price.
DRIVER = """
import json, sys
sys.path.insert(0, sys.argv[1])
from iker_agent.program import run_program
keypoints, codes = json.load(sys.stdin)
for code in codes:
    print(json.dumps(run_program(code, keypoints, cpu_s=1, timeout_s=60).to_dict()))
"""
FORKING_DRIVER = """
import json, os, sys
sys.path.insert(0, sys.argv[1])
from iker_agent.program import language, runner
from iker_agent.program.execution import execute
from iker_agent.program.result import ProgramResult
from iker_agent.program.signatures import signature_named
from iker_agent.program.vocabulary import STANDARD
keypoints, codes = json.load(sys.stdin)
sys.stdin.close()
keypoints = {label: tuple(row) for label, row in keypoints.items()}
signature = signature_named("keypoints")

def answer(code, channel):
    layers = []
    def tell(given):
        layers.extend(given)
        os.write(channel, json.dumps({"layers": given}).encode() + b"\\n")
    job = {**runner.job_for(code, signature, keypoints), "cpu_s": 1, "memory_mb": 256}
    try:
        program = language.admit(code, signature.function, STANDARD)
    except language.Refused as refusal:
        return {"status": "refused", "message": str(refusal)}
    return execute(program, job, tell, channel)

for code in codes:
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        os.write(writing, json.dumps(answer(code, writing)).encode() + b"\\n")
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        output = pipe.read()
    status = os.waitpid(pid, 0)[1]
    ending = runner._Ending(output, os.waitstatus_to_exitcode(status), False)
    result = runner._judge(ending, signature, keypoints, {"cpu_s": 1}, 60, True)
    print(json.dumps(result.to_dict()))
"""


class Copy:
    """A copy of the package, in a folder with spaces, some of it replaced."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "a checkout, w\u00efth spaces"
        self.package = self.folder / "iker_agent" / "program"
        shutil.copytree(PACKAGE, self.package, ignore=shutil.ignore_patterns("__pycache__"))
        (self.folder / "iker_agent" / "__init__.py").write_text("")

    def append(self, name: str, text: str) -> None:
        with (self.package / name).open("a") as file:
            file.write(text)

    def run(self, codes: list[str], driver: str = DRIVER) -> list[dict]:
        finished = subprocess.run(
            [sys.executable, "-c", driver, str(self.folder)],
            input=json.dumps([KEYPOINTS, codes]),
            capture_output=True,
            text=True,
            check=True,
            cwd=self.folder,
            timeout=300,
        )
        return [json.loads(line) for line in finished.stdout.splitlines()]


@pytest.fixture
def copy(tmp_path) -> Copy:
    return Copy(tmp_path)


@pytest.fixture
def without_language(copy) -> Copy:
    """Any Python runs, with all builtins and the whole of numpy; only the process is locked."""
    copy.append("language.py", "\n\ndef admit(source, *_):\n    return Admitted(ast.parse(source, FILENAME), ())\n")
    scope = "{'__builtins__': builtins, '__name__': 'program', 'np': numpy, '__facade__': _SYNTAX}"
    copy.append("facades.py", f"\n\nimport numpy\nFacades.scope = lambda self, printer: {scope}\n")
    return copy


@pytest.fixture
def without_lock(copy) -> Copy:
    """As on a system that has neither limits nor filter."""
    copy.append("lockdown.py", "\n\ndef lock_down(cpu_s, memory_mb):\n    return []\n")
    return copy


@pytest.fixture
def fresh_trap(tmp_path):
    folder = tmp_path / "canary"
    folder.mkdir()
    trap = Trap(folder)
    yield trap
    trap.close()


def test_runs_from_a_folder_with_spaces(copy):
    code = "def get_interaction_data(kp):\n    kp['5'] += 0.1\n    return 'shoe', ['5'], True, kp\n"
    assert [result["status"] for result in copy.run([code])] == ["ok"]


FORKING = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")


@FORKING
def test_the_language_alone_contains(without_lock, fresh_trap):
    results = without_lock.run([fresh_trap.arm(attack["code"]) for attack in HARMFUL], FORKING_DRIVER)
    fresh_trap.assert_untouched(results)
    assert len(results) == len(HARMFUL)
    assert not any("rlimit" in r["layers"] or "seccomp" in r["layers"] for r in results)


@LINUX
def test_the_process_alone_contains(without_language, fresh_trap, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")  # the driver's forks have its environment; the next test keeps the key
    monkeypatch.delenv("PYTHONSTARTUP")
    results = without_language.run([fresh_trap.arm(attack["code"]) for attack in HARMFUL], FORKING_DRIVER)
    fresh_trap.assert_untouched(results)
    assert len(results) == len(HARMFUL)
    assert any("PermissionError" in result["message"] for result in results)


@LINUX
def test_a_process_of_its_own_contains(without_language, fresh_trap):
    some = [a for a in HARMFUL if "environ" in a["code"]] + HARMFUL[:: len(HARMFUL) // 12]
    results = without_language.run([fresh_trap.arm(attack["code"]) for attack in some])
    fresh_trap.assert_untouched(results)
    assert all("seccomp" in r["layers"] for r in results if r["status"] != "refused")


@LINUX
def test_without_both_the_trap_snaps(without_language, fresh_trap):
    """The control: the same attacks do harm where nothing stops them."""
    without_language.append("lockdown.py", "\n\ndef lock_down(cpu_s, memory_mb):\n    return []\n")
    without_language.run(
        [fresh_trap.arm(attack["code"]) for attack in HARMFUL if attack["name"] in ("open_via_pathlib", "np_save")]
    )
    assert {path.name for path in fresh_trap.folder.iterdir()} >= {"open_via_pathlib", "np_save.npy"}


DEEDS = {
    "open('/etc/passwd')": "PermissionError",
    "open('/proc/self/environ')": "PermissionError",
    "__import__('os').listdir('/')": "PermissionError",
    "__import__('os').fork()": "PermissionError",
    "__import__('os').kill(__import__('os').getppid(), 0)": "PermissionError",
    "__import__('os').kill(__import__('os').getpid(), 9)": "PermissionError",
    "__import__('os').execv('/bin/true', ['true'])": "PermissionError",
    "__import__('os').dup(1)": "PermissionError",
    "__import__('os').pipe()": "PermissionError",
    "__import__('os').chdir('/')": "PermissionError",
    "__import__('os').setpriority(0, 0, -5)": "PermissionError",
    "__import__('resource').setrlimit(0, (1, 1))": "(Error|not permitted)",
    "__import__('posix').memfd_create('x')": "PermissionError",
    "__import__('_thread').start_new_thread(print, ())": "RuntimeError",
    "__import__('signal').setitimer(0, 1)": "not permitted",
    "__import__('socket').socket()": "(PermissionError|ModuleNotFoundError)",
    "__import__('ctypes').CDLL(None).ptrace(0, 0, 0, 0)": "nothing",
    "bytearray(10**9)": "the program needs too much memory",
}


@LINUX
def test_deeds_of_a_locked_process(without_language):
    template = "def get_interaction_data(kp):\n    {}\n    raise ValueError('nothing')\n"
    results = without_language.run([template.format(deed) for deed in DEEDS], FORKING_DRIVER)
    told = dict(zip(DEEDS, (result["message"] for result in results), strict=True))
    assert {deed: said for deed, said in told.items() if not re.search(DEEDS[deed], said)} == {}
    assert all(SECRET not in result["message"] for result in results)


@LINUX
def test_the_child_has_loaded_little(without_language):
    heavy = ("torch", "mujoco", "scipy", "gymnasium", "iker_envs", "iker_agent", "socket", "subprocess", "site")
    code = (
        f"import sys\ndef get_interaction_data(kp):\n    raise ValueError([m for m in {heavy} if m in sys.modules])\n"
    )
    assert without_language.run([code])[0]["message"] == "line 3: ValueError: []"
