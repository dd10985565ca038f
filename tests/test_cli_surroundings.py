"""The command in its surroundings: signals, missing libraries, closed pipes, poor encodings, full disks.

Real processes, told by a `sitecustomize` which modules they do not find, or which one they never finish importing: so
a signal meets them at a known moment.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest
from chat_server import ChatServer
from typer.main import get_command

from iker_agent.commands.app import app
from iker_agent.commands.ending import EXTRAS, NOT_DONE, USAGE, explained
from iker_agent.records.report import write_report
from iker_envs.physics.isaac.errors import WorkerDied, WorkerMissing
from iker_envs.sim import SimulationError

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals, limits and closed descriptors, the POSIX way")

IKER = (sys.executable, "-m", "iker_agent")
GUARD_S = 120  # a process that hangs fails its test instead of stopping all of them
SITE = """
import os, sys, time
class Finder:
    def find_spec(self, name, path=None, target=None):
        library = name.partition(".")[0]
        if library in os.environ.get("MISSING", "").split():
            raise ModuleNotFoundError(f"No module named {library!r}", name=library)
        if name == os.environ.get("ENDLESS"):
            with open(os.environ["REACHED"], "a") as file:
                file.write("x")
            time.sleep(600)
sys.meta_path.insert(0, Finder())
"""


@pytest.fixture
def surroundings(tmp_path, monkeypatch) -> Callable[..., dict[str, str]]:
    """Variables -> the environment of a process that runs in an empty folder."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(SITE)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    root = Path(__file__).resolve().parents[1]
    path = os.pathsep.join((str(tmp_path / "site"), str(root)))
    kept = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "IKER_TASKS")}
    reached = str(tmp_path / "reached")
    return lambda **given: {**kept, "PYTHONPATH": path, "REACHED": reached, "OMP_NUM_THREADS": "1", **given}


def begun(command, environment, **options) -> subprocess.Popen:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, env=environment, **{**pipes, **options})


def wait_until(condition: Callable[[], bool], process: subprocess.Popen) -> None:
    give_up = time.monotonic() + GUARD_S
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < give_up
        time.sleep(0.02)


def reached(tmp_path: Path) -> Callable[[], bool]:
    return (tmp_path / "reached").exists


def ended(process: subprocess.Popen) -> tuple[int, str, str]:
    try:
        printed, told = process.communicate(timeout=GUARD_S)
    finally:
        process.kill()
    assert "Traceback" not in told and "Exception ignored" not in told, told
    return process.returncode, printed, told


def called(environment, *arguments: str, **options) -> tuple[int, str, str]:
    return ended(begun([*IKER, *arguments], environment, **options))


# ------------------------------------------------------------------------ signals

VERBS = (
    ("run", "--learner", "waypoint"),
    ("query",),
    ("replay", "some_run"),
    ("train", "shoe_push"),
    ("eval",),
    ("bench", "vlm"),
    ("check", "shoe_place"),
    ("tasks",),
    ("tasks", "--sheet", "x.png"),
    ("envs",),
    ("report", "some_run"),
    ("lab", "shoe_push"),
    ("doctor", "robot.yaml"),
    ("board",),
    ("calibrate", "recordings"),
    ("scan", "recordings"),
    ("look",),
    ("talk", "shoe_push"),
    ("sweep", "sweep.yaml"),
    ("reproduce", "table1"),
)


ENDS = [(signal.SIGINT, "interrupted"), (signal.SIGTERM, "terminated"), (signal.SIGHUP, "terminated")]


def test_every_verb_dies_of_the_signal_that_it_gets_while_it_loads(surroundings, tmp_path):
    """The signals take turns: what handles them is one place for all verbs."""
    assert {verb[0] for verb in VERBS} == set(get_command(app).commands)
    processes = []
    for index, verb in enumerate(VERBS):
        mark = str(tmp_path / f"reached_{index}")
        endless = "jinja2" if verb[0] == "report" else "numpy"
        process = begun([*IKER, *verb], surroundings(ENDLESS=endless, REACHED=mark))
        processes.append((process, Path(mark), *ENDS[index % len(ENDS)]))
    for process, mark, number, _ in processes:
        wait_until(mark.exists, process)
        process.send_signal(number)
    for process, _, number, word in processes:
        assert ended(process)[::2] == (-number, f"iker: {word}\n"), process.args
    assert list(Path().iterdir()) == []


def test_a_shell_loop_ends_with_ctrl_c(surroundings, tmp_path):
    loop = 'for i in 1 2 3; do "$@"; echo "went on with $?"; done'
    command = ["bash", "-c", loop, "bash", *IKER, "tasks"]
    shell = begun(command, surroundings(ENDLESS="numpy"), start_new_session=True)
    wait_until(reached(tmp_path), shell)
    os.killpg(shell.pid, signal.SIGINT)  # as a terminal does: the shell and its command get it
    code, printed, _ = ended(shell)
    assert (code, printed) == (-signal.SIGINT, "") and (tmp_path / "reached").read_text() == "x"


def test_a_second_ctrl_c_ends_at_once(surroundings):
    code = """
import time
from iker_agent.commands.ending import stop_signals
with stop_signals():
    try:
        print("working", flush=True)
        time.sleep(600)
    finally:
        print("saving", flush=True)
        time.sleep(600)
"""
    process = begun([sys.executable, "-c", code], surroundings())
    assert process.stdout.readline() == "working\n"
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "saving\n"
    process.send_signal(signal.SIGINT)
    assert ended(process) == (-signal.SIGINT, "", "")


def test_an_ignored_ctrl_c_stays_ignored(surroundings):
    code = """
import os, signal
signal.signal(signal.SIGINT, signal.SIG_IGN)
from iker_agent.commands.ending import stop_signals
with stop_signals() as came:
    os.kill(os.getpid(), signal.SIGINT)
print(came, signal.getsignal(signal.SIGINT) is signal.SIG_IGN)
"""
    assert ended(begun([sys.executable, "-c", code], surroundings())) == (0, "[] True\n", "")


def readable_run(folder: Path, ended: str = "interrupted") -> dict:
    """run.json of a run that could not go on, whose files are whole and whose report can be written again."""
    assert [str(p) for p in folder.rglob("*.part*")] == []
    assert ended in (folder / "report.html").read_text("utf-8").lower()
    write_report(folder)
    return json.loads((folder / "run.json").read_text("utf-8"))


def test_ctrl_c_while_a_video_is_written_leaves_a_readable_run(surroundings, tmp_path):
    arguments = ("run", "--task", "shoe_rack", "--learner", "waypoint", "--out", "run")
    process = begun([*IKER, *arguments], surroundings(ENDLESS="imageio.plugins.ffmpeg"))
    wait_until(reached(tmp_path), process)
    process.send_signal(signal.SIGINT)
    code, _, told = ended(process)
    assert code == -signal.SIGINT and told == "what was done so far is in run\niker: interrupted\n"
    assert readable_run(Path("run"))["reason"] == "interrupted"
    assert Path("run/stage_01/outcome.json").exists() and not Path("run/stage_01/rollout.mp4").exists()


@pytest.mark.parametrize("verb", ["run", "query", "bench vlm"])
def test_sigterm_while_a_model_thinks_keeps_what_is_there(verb, surroundings):
    answer = threading.Event()
    with ChatServer(lambda handler: answer.wait(GUARD_S)) as server:
        arguments = (*verb.split(), "--vlm", "openai", "--model", "seer", "--base-url", server.url)
        process = begun([*IKER, *arguments, "--task", "shoe_push", "--out", "out"], surroundings())
        wait_until(lambda: server.requests != [], process)
        process.send_signal(signal.SIGTERM)
        code, _, told = ended(process)
        answer.set()
    assert code == -signal.SIGTERM and told.endswith("iker: terminated\n")
    if verb == "run":
        assert readable_run(Path("out"))["stages"][0]["action"] == ""
    elif verb == "query":
        assert Path("out/prompt.md").exists() and Path("out/marked.png").exists()
    else:
        assert json.loads(Path("out/results.json").read_text())["rows"] == []


def test_sigterm_while_training_saves_and_dies_of_it(surroundings):
    settings = ("learn.num_envs=8", "learn.horizon=8", "learn.eval_envs=8", "learn.checkpoint_every_s=0")
    process = begun([*IKER, "train", "shoe_push", "--out", "t", *settings, "learn.num_threads=1"], surroundings())
    wait_until(Path("t/metrics.csv").exists, process)
    process.send_signal(signal.SIGTERM)
    code, printed, told = ended(process)
    assert code == -signal.SIGTERM and told == "iker: terminated\n"
    assert "interrupted after" in printed and "go on with: iker train --resume t" in printed
    assert {"checkpoint.pt", "config.yaml", "metrics.csv", "policy.safetensors"} <= {
        p.name for p in Path("t").iterdir()
    }


# ------------------------------------------------------------------------ missing libraries

MISSING = (
    ("typer", "agent", ("--help",)),
    ("rich", "agent", ("tasks",)),
    ("omegaconf", "agent", ("run", "--out", "run")),
    ("torch", "agent", ("run", "--task", "shoe_push", "--out", "run")),
    ("skrl", "agent", ("run", "--task", "shoe_push", "--out", "run")),
    ("torch", "agent", ("train", "shoe_push", "--out", "run")),
    ("matplotlib", "agent", ("run", "--out", "run")),
    ("imageio_ffmpeg", "agent", ("run", "--learner", "waypoint", "--out", "run")),
    ("jinja2", "agent", ("report", "run")),
    ("openai", "vlm", ("query", "--vlm", "openai", "--model", "m", "--base-url", "http://127.0.0.1:9/v1")),
    ("scipy", "", ("envs",)),
)


@pytest.mark.parametrize(("library", "extra", "arguments"), MISSING, ids=[f"{m[0]}-{m[2][0]}" for m in MISSING])
def test_a_missing_library_is_one_line_with_the_pip_command_that_mends_it(library, extra, arguments, surroundings):
    code, printed, told = called(surroundings(MISSING=library), *arguments)
    assert code in (NOT_DONE, USAGE) and printed == ""
    assert told.count("\n") == 1 and library in told
    assert f"python -m pip install 'iker{f'[{extra}]' if extra else ''}'" in told
    assert list(Path().iterdir()) == [], "nothing was begun"


def test_every_library_of_an_extra_is_known_to_be_in_it():
    listed = [line for line in requires("iker") if "extra ==" in line and not line.startswith("iker[")]
    packages = {"warp": ["warp-lang"], **packages_distributions()}  # the one whose name tells nothing
    for extra, known in EXTRAS.items():
        from_known = {name.replace("_", "-") for library in known for name in packages.get(library, [library])}
        mine = [line for line in listed if extra in line.partition("extra ==")[2]]
        names = {line.split(";")[0].strip().split("[")[0].split(">")[0].split("<")[0] for line in mine}
        assert names - {*known, *from_known, *EXTRAS["agent"]} == set(), extra


def test_a_module_of_our_own_that_is_missing_is_a_fault_of_the_program():
    assert explained(ModuleNotFoundError("No module named 'iker_agent.nowhere'", name="iker_agent.nowhere")) is None
    assert explained(ZeroDivisionError()) is None


@pytest.mark.parametrize("kind", [SimulationError, WorkerDied, WorkerMissing])
def test_an_engine_that_cannot_go_on_is_told_in_its_own_sentence(kind):
    assert explained(kind("what to do")) == (NOT_DONE, "what to do")


# ------------------------------------------------------------------------ outputs


def test_a_reader_that_goes_away_is_no_fault(surroundings):
    process = begun([*IKER, "envs"], surroundings())
    process.stdout.close()
    assert (process.wait(GUARD_S), process.stderr.read()) == (-signal.SIGPIPE, "")


def test_a_run_whose_reader_goes_away_stays_readable(surroundings):
    arguments = ("run", "--task", "shoe_push", "--learner", "waypoint", "--out", "run", "run.video=false")
    process = begun([*IKER, *arguments], surroundings())
    assert process.stdout.readline() != ""
    process.stdout.close()
    assert process.wait(GUARD_S) == -signal.SIGPIPE and "Traceback" not in process.stderr.read()
    assert readable_run(Path("run"))["stages"][0]["action"] == "push left_shoe"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("arguments", [("tasks",), ("--help",), ("run", "--learner", "waypoint", "--out", "run")])
def test_a_full_standard_output_is_one_sentence(arguments, surroundings):
    with Path("/dev/full").open("w") as full:
        code, _, told = called(surroundings(), *arguments, stdout=full)
    assert (code, told) == (1, "iker: the standard output cannot be written: No space left on device\n")
    assert list(Path().iterdir()) == []


def test_closed_standard_streams_do_no_harm(surroundings):
    shell = 'exec "$@" <&- >&-'
    command = ["bash", "-c", shell, "bash", *IKER, "tasks", "shoe_push", "--sheet", "sheet.png"]
    assert ended(begun(command, surroundings())) == (0, "", "")
    assert Path("sheet.png").read_bytes().startswith(b"\x89PNG")


def test_what_cannot_be_encoded_is_escaped(surroundings, tmp_path):
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "naïve.yaml").write_text("name: [", encoding="utf-8")
    environment = surroundings(PYTHONIOENCODING="ascii", IKER_TASKS=str(tmp_path / "tasks"))
    code, printed, told = called(environment, "tasks")
    assert code == 0 and "shoe_push" in printed and "na\\xefve" in told
    assert printed.isascii() and told.isascii()


# ------------------------------------------------------------------------ full disks


def limit_file_size() -> None:
    """Writing beyond 30 kB fails in this process: a picture does not fit, run.json does."""
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))


def test_a_run_on_a_full_disk_ends_in_one_sentence_with_its_files_whole(surroundings):
    arguments = ("run", "--task", "shoe_push", "--learner", "waypoint", "--out", "run")
    code, _, told = called(surroundings(), *arguments, preexec_fn=limit_file_size)
    assert code == 1
    assert told == "what was done so far is in run\niker: 'run/stage_01/view.png' cannot be used: File too large\n"
    assert readable_run(Path("run"), "broken off")["stages"][0]["action"] == ""
    assert [p.name for p in Path("run/stage_01").iterdir()] == []


def test_a_contact_sheet_that_does_not_fit_leaves_the_one_before(surroundings):
    Path("sheet.png").write_bytes(b"the one before")
    code, _, told = called(surroundings(), "tasks", "shoe_push", "--sheet", "sheet.png", preexec_fn=limit_file_size)
    assert (code, told) == (1, "iker: 'sheet.png' cannot be used: File too large\n")
    assert [(p.name, p.read_bytes()) for p in Path().iterdir()] == [("sheet.png", b"the one before")]
