"""Two processes never write into one folder: the second is told who holds it, a dead one is taken over from."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from iker_agent.cli import app
from iker_agent.limits import Unusable
from iker_agent.records import run_folder
from iker_agent.records.run_folder import LOCK, fresh_folder, locked

HOLD = """
import sys
from iker_agent.records.run_folder import locked
with locked(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """A process that holds the folder `tmp_path` until its standard input is closed."""
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_the_second_is_told_who_holds_the_folder_and_since_when(tmp_path, holder):
    told = rf"process {holder.pid} on .*, since \d{{4}}-.* is writing into '{tmp_path}'"
    with pytest.raises(Unusable, match=told), locked(tmp_path):
        pytest.fail("two processes hold one folder")
    assert (tmp_path / LOCK).exists()


def test_a_folder_is_free_once_its_holder_has_left(tmp_path, holder):
    holder.communicate("")
    assert holder.returncode == 0 and list(tmp_path.iterdir()) == []
    with locked(tmp_path) as note:
        assert note == ""


def test_what_a_killed_process_held_is_taken_over_and_said(tmp_path, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert (tmp_path / LOCK).exists()
    with locked(tmp_path) as note:
        assert note.startswith(f"process {holder.pid} on ") and "taken over" in note
    assert not (tmp_path / LOCK).exists()


def test_a_folder_is_released_when_the_work_in_it_fails(tmp_path):
    with pytest.raises(RuntimeError), locked(tmp_path / "new"):
        raise RuntimeError
    with locked(tmp_path / "new") as note:
        assert note == ""


def test_one_process_does_not_hold_a_folder_twice(tmp_path):
    with locked(tmp_path):
        with pytest.raises(Unusable, match=f"process {os.getpid()} on"), locked(tmp_path):
            pytest.fail("the folder is held twice")
        assert (tmp_path / LOCK).exists()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": 3}', "\x00"])
def test_a_cut_lock_file_of_a_dead_process_is_taken_over(tmp_path, content):
    (tmp_path / LOCK).write_text(content)
    with locked(tmp_path) as note:
        assert note.startswith("another process") or not content


def test_a_lock_that_its_holder_removed_meanwhile_is_not_taken_for_the_new_one(tmp_path, monkeypatch):
    """Between opening the file and locking it the holder may leave: the file that is then locked has no name."""
    taken = []
    real = run_folder.fcntl.flock

    def slow(file, how):
        if not taken:
            (tmp_path / LOCK).unlink()
        taken.append(real(file, how))

    monkeypatch.setattr(run_folder.fcntl, "flock", slow)
    with locked(tmp_path):
        assert len(taken) == 2 and (tmp_path / LOCK).exists()


def test_without_flock_a_lock_file_that_exists_is_held(tmp_path, monkeypatch):
    monkeypatch.setattr(run_folder, "fcntl", None)
    told = f"process {os.getpid()} on .* if that process is gone, remove"
    with locked(tmp_path), pytest.raises(Unusable, match=told), locked(tmp_path):
        pytest.fail("the folder is held twice")
    with locked(tmp_path) as note:
        assert note == ""


def test_the_module_loads_where_there_is_no_fcntl():
    code = "import sys\nsys.modules['fcntl'] = None\nfrom iker_agent.records.run_folder import fcntl\nprint(fcntl)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "None\n"


def test_two_runs_that_begin_together_take_two_numbers(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert [fresh_folder(None, "task") for _ in range(2)] == [Path("runs/task_001"), Path("runs/task_002")]


def test_two_trainings_do_not_write_into_one_folder(tmp_path):
    with locked(tmp_path / "run"):
        with pytest.raises(Unusable, match=f"process {os.getpid()} on .* choose another folder"):
            CliRunner().invoke(app, ["train", "shoe_push", "--out", str(tmp_path / "run")], catch_exceptions=False)
        assert [path.name for path in (tmp_path / "run").iterdir()] == [LOCK]
