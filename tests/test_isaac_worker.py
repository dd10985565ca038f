"""The worker of sim=isaac as a process: whatever happens to it is one typed sentence, and nothing of it stays behind.

The worker runs in the tests' own interpreter on the double of isaacgym.
"""

from __future__ import annotations

import ast
import gc
import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from isaac_double import use_double
from sim_worlds import everyone, rows, scene_of, started, wait

from iker_envs.physics.engines import make_sim
from iker_envs.physics.isaac import launch, wire
from iker_envs.physics.isaac.errors import (
    IsaacError,
    WorkerDied,
    WorkerFailed,
    WorkerHangs,
    WorkerMissing,
    WrongOrder,
)

ISAAC = Path(launch.__file__).parent
LAYOUT = wire.layout(1, 1, 1, 8)


@pytest.fixture(autouse=True)
def double(monkeypatch):
    use_double(monkeypatch)


def children() -> list[str]:
    """Command lines of this process's children, ended ones that nobody has waited for included."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = folder.joinpath("stat").read_text().rsplit(")", 1)[1].split()[1]
            if int(parent) == os.getpid():
                found.append(folder.joinpath("cmdline").read_text().replace("\0", " ") or "zombie")
        except FileNotFoundError:
            continue
    return [line for line in found if "worker.py" in line or line == "zombie"]


@pytest.fixture(autouse=True)
def nothing_stays_behind(double, monkeypatch, tmp_path):
    """No process, no file in shared memory, no folder of assets, no file descriptor, whatever a test does."""
    folders = tmp_path / "folders"
    folders.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folders))  # other files of tests run beside this one

    def found():
        gc.collect()
        files = {*os.listdir("/dev/shm"), *(p.name for p in folders.glob("iker_isaac_*"))}
        return files, len(os.listdir("/proc/self/fd"))

    files, descriptors = found()
    yield
    after, open_now = found()
    assert children() == []
    assert {f for f in after - files if f.startswith(("iker", "tmp"))} == set()
    assert open_now <= descriptors


def make(count: int = 2):
    return make_sim("isaac", scene_of(), count, num_threads=1)


def sentence(caught) -> str:
    """The error's text, which is one line and says what to do."""
    text = str(caught.value)
    assert "\n" not in text and isinstance(caught.value, IsaacError)
    return text


# -- what is missing ---------------------------------------------------------------------------------------------------


def test_without_an_interpreter_the_variable_is_named(monkeypatch):
    monkeypatch.delenv(launch.PYTHON)
    with pytest.raises(WorkerMissing) as caught:
        make()
    assert sentence(caught).startswith("sim=isaac runs in a Python 3.8 of its own: set ISAACGYM_PYTHON to")


@pytest.mark.parametrize("name", ["no_such_python", "folder", "text"])
def test_an_interpreter_that_is_none_is_named(monkeypatch, tmp_path, name):
    (tmp_path / "folder").mkdir()
    (tmp_path / "text").write_text("no program")
    monkeypatch.setenv(launch.PYTHON, str(tmp_path / name))
    with pytest.raises(WorkerMissing) as caught:
        make()
    assert f"ISAACGYM_PYTHON is '{tmp_path / name}', which is no program" in sentence(caught)


def test_a_program_that_cannot_be_run_is_named(monkeypatch, tmp_path):
    broken = tmp_path / "python"
    broken.write_bytes(b"\0\0")
    broken.chmod(broken.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv(launch.PYTHON, str(broken))
    with pytest.raises(WorkerMissing) as caught:
        make()
    assert f"'{broken}' cannot be run: " in sentence(caught)


def test_a_program_that_is_no_python_dies_with_its_last_words(monkeypatch, tmp_path):
    other = tmp_path / "python"
    other.write_text("#!/bin/sh\necho what is this\nexit 7\n")
    other.chmod(0o755)
    monkeypatch.setenv(launch.PYTHON, str(other))
    with pytest.raises(WorkerDied) as caught:
        make()
    assert "ended with exit code 7 when it was asked to 'hello'; its last words: what is this" in sentence(caught)


def test_without_the_binary_the_interpreter_is_named(monkeypatch):
    monkeypatch.delenv("PYTHONPATH")
    with pytest.raises(WorkerMissing) as caught:
        make()
    assert f"{sys.executable} cannot import isaacgym (No module named 'isaacgym')" in sentence(caught)


@pytest.mark.parametrize("device", ["gpu", "cuda", "cuda:", "cuda:x"])
def test_a_device_that_is_none_is_refused(monkeypatch, device):
    monkeypatch.setenv("ISAACGYM_DEVICE", device)
    with pytest.raises(ValueError, match=f"the device of sim=isaac is cpu or cuda:0 .*, not '{device}'"):
        make()


# -- a worker in trouble -----------------------------------------------------------------------------------------------


def test_a_default_limit_for_all_sockets_of_the_process_changes_nothing(monkeypatch):
    monkeypatch.setattr(socket, "socketpair", partial(_limited, socket.socketpair))
    sim = started(make())
    wait(sim, 0.05)
    sim.close()


def _limited(pair):
    ends = pair()
    for end in ends:
        end.settimeout(5)  # as a default of the process makes them
    return ends


def test_a_killed_worker_is_told_and_stays_dead():
    sim = started(make())
    before = wait(sim, 0.05)
    os.kill(sim._worker.pid, signal.SIGKILL)
    for _ in range(2):
        with pytest.raises(WorkerDied) as caught:
            wait(sim, 0.05)
        assert "was ended by SIGKILL when it was asked to 'step'" in sentence(caught)
    np.testing.assert_array_equal(sim.state().object_pose, before.object_pose)
    sim.close()
    sim.close()


def test_a_worker_that_is_stopped_is_ended_in_time(monkeypatch):
    sim = started(make())
    os.kill(sim._worker.pid, signal.SIGSTOP)
    monkeypatch.setitem(launch.ANSWER_S, "prepare", 0.2)
    with pytest.raises(WorkerHangs) as caught:
        wait(sim, 0.05)
    assert "gave no answer to 'prepare' within 0.2 s and was ended" in sentence(caught)


def test_a_call_that_is_interrupted_ends_the_worker_whose_answer_nobody_would_know(monkeypatch):
    sim = started(make())
    with monkeypatch.context() as patch:
        patch.setattr(launch.wire, "receive", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            wait(sim, 0.05)
    with pytest.raises(WorkerDied) as caught:
        wait(sim, 0.05)
    assert "ended, as 'prepare' was interrupted; make the simulation again" in sentence(caught)


def test_a_message_that_does_not_get_through_ends_too(monkeypatch):
    monkeypatch.setattr(launch, "_TRANSFER_S", 0.2)
    worker = launch.Worker(launch.interpreter(), LAYOUT)
    os.kill(worker.pid, signal.SIGSTOP)
    with pytest.raises(WorkerHangs) as caught:
        worker.ask("build", padding="x" * 10_000_000)
    assert "gave no answer to 'build' within 0.2 s" in sentence(caught)


@pytest.mark.parametrize("call", ["create_sim", "load_asset", "prepare_sim", "simulate"])
def test_a_worker_that_hangs_is_ended_wherever_it_does(monkeypatch, call):
    monkeypatch.setenv("FAKE_ISAACGYM_TROUBLE", f"{call}:hang")
    for do in ("build", "prepare", "step"):
        monkeypatch.setitem(launch.ANSWER_S, do, 0.5)
    with pytest.raises(WorkerHangs, match=r"gave no answer to '(build|prepare|step)' within 0.5 s and was ended"):
        wait(started(make()), 0.05)


@pytest.mark.parametrize("call", ["create_sim", "load_asset", "prepare_sim", "simulate"])
def test_a_worker_that_crashes_leaves_its_last_words(monkeypatch, call):
    monkeypatch.setenv("FAKE_ISAACGYM_TROUBLE", f"{call}:exit")
    with pytest.raises(WorkerDied) as caught:
        wait(started(make()), 0.05)
    assert "ended with exit code 3" in sentence(caught) and "last words: a fault of the driver" in sentence(caught)


@pytest.mark.parametrize("call", ["create_sim", "load_asset", "prepare_sim", "simulate"])
def test_an_error_of_the_engine_is_told(monkeypatch, call):
    monkeypatch.setenv("FAKE_ISAACGYM_TROUBLE", f"{call}:raise")
    with pytest.raises(WorkerFailed) as caught:
        wait(started(make()), 0.05)
    assert "RuntimeError: a fault of the simulation" in sentence(caught)


def test_a_client_that_is_killed_takes_its_worker_along():
    code = (
        "import sys; sys.path.insert(0, 'tests')\n"
        "from sim_worlds import scene_of, started, wait\n"
        "from iker_envs.physics.engines import make_sim\n"
        "sim = started(make_sim('isaac', scene_of(), 1, num_threads=1))\n"
        "print(sim._worker.pid, flush=True)\n"
        "while True: wait(sim, 0.1)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=ISAAC.parents[2], stdout=subprocess.PIPE) as client:
        worker = int(client.stdout.readline())
        client.kill()
    descriptor = os.pidfd_open(worker) if Path(f"/proc/{worker}").exists() else None
    if descriptor is not None:
        import select

        assert select.select([descriptor], [], [], 30.0)[0], "the worker has not ended"
        os.close(descriptor)


def test_a_forgotten_simulation_ends_its_worker():
    sim = make()
    assert len(children()) == 1
    del sim
    gc.collect()
    assert children() == []


def test_a_forked_process_leaves_the_worker_alone():
    sim = started(make())
    child = os.fork()
    if child == 0:
        try:
            sim.step(np.zeros((2, 7)), np.zeros(2), 1)
        except ValueError as error:
            sim.close()
            os._exit(42 if "belongs to the process that made it" in str(error) else 1)
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 42
    wait(sim, 0.05)
    sim.close()


# -- the order of calls ------------------------------------------------------------------------------------------------


def test_requests_out_of_order_are_refused_and_the_worker_goes_on():
    worker = launch.Worker(launch.interpreter(), LAYOUT)
    for do, words in (("step", "'step' comes after 'prepare'"), ("prepare", "'prepare' comes after 'build'")):
        with pytest.raises(WrongOrder) as caught:
            worker.ask(do, num_substeps=1)
        assert sentence(caught) == words
    worker.end()
    sim = started(make())
    wait(sim, 0.05)
    for do, words in (("prepare", "'prepare' comes once"), ("build", "a worker builds one simulation")):
        with pytest.raises(WrongOrder, match=words):
            sim._worker.ask(do)
    wait(sim, 0.05)
    sim.close()


def test_another_version_of_the_protocol_is_refused(monkeypatch):
    monkeypatch.setattr(wire, "VERSION", wire.VERSION + 1)
    with pytest.raises(WorkerFailed, match=r"the worker speaks version \d+ of the protocol, not \d+"):
        make()


# -- Python 3.8 --------------------------------------------------------------------------------------------------------

OLD = [ISAAC / "worker.py", ISAAC / "wire.py", *sorted(Path(__file__).parent.glob("fake_isaacgym/isaacgym/*.py"))]
KNOWN = {"isaacgym", "numpy", "wire", "mujoco", "torch"}


@pytest.mark.parametrize("path", OLD, ids=lambda p: p.name)
def test_what_the_worker_runs_is_python_3_8(path):
    tree = ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 8))
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add(node.module.split(".")[0])
    assert names <= KNOWN | sys.stdlib_module_names
    new_calls = {"removeprefix", "removesuffix", "pairwise", "batched", "bit_count"}
    assert not new_calls & {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    strict = [n for n in ast.walk(tree) if isinstance(n, ast.keyword) and n.arg == "strict"]
    assert strict == []


def python_3_8() -> str:
    """An interpreter of that version on PATH or in pyenv that has numpy and mujoco, which the double needs, or ""."""
    candidates = [os.environ.get("ISAACGYM_TEST_PYTHON", ""), "python3.8"]
    candidates += map(str, Path.home().glob(".pyenv/versions/3.8*/bin/python"))
    asked = "import sys, numpy, mujoco; sys.exit(sys.version_info[:2] != (3, 8))"
    clean = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    for candidate in filter(None, candidates):
        try:
            done = subprocess.run([candidate, "-c", asked], capture_output=True, timeout=60, env=clean)
        except OSError:
            continue
        if done.returncode == 0:
            return candidate
    return ""


def test_the_worker_runs_in_python_3_8(monkeypatch):
    python = python_3_8()
    if not python:
        pytest.skip("no Python 3.8 with numpy and mujoco: ISAACGYM_TEST_PYTHON names one")
    states = []
    for interpreter in (sys.executable, python):
        monkeypatch.setenv(launch.PYTHON, interpreter)
        sim = make()
        sim.randomize("mass", everyone(sim), np.array([[0.5], [1.0]]))
        sim.reset(everyone(sim), rows(sim))
        states.append(wait(sim, 0.3))
        sim.close()
    ours, theirs = states
    np.testing.assert_allclose(ours.object_pose, theirs.object_pose, atol=1e-4)
    np.testing.assert_allclose(ours.gripper_pose, theirs.gripper_pose, atol=1e-4)
