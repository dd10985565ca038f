"""Each layer of the isolation by itself: the language alone contains harmful programs, and the process alone does."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from program_trap import ATTACKS, KEYPOINTS, SECRET, Trap

import iker_agent.program

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


@pytest.fixture(autouse=True)
def secret_in_environment(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    monkeypatch.setenv("PYTHONSTARTUP", SECRET)


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
