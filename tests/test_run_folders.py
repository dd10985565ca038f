"""Where a run writes: a folder of its own below runs/, or the one that was asked for, held by one run at a time."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from iker_agent.records.run_folder import claimed_folder, fresh_folder


@pytest.mark.parametrize("name", ["../x", "a/b", "/etc/x", "..", ".", "", "a\\b", "x\0y", "../../runs/y"])
def test_a_name_that_leaves_the_folder_of_runs_is_refused(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"the task's name .* cannot name a folder in runs/") as caught:
        fresh_folder(None, name)
    assert "\n" not in str(caught.value) and list(tmp_path.iterdir()) == []


def test_folders_are_numbered(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert [str(fresh_folder(None, "shoe rack")) for _ in range(2)] == ["runs/shoe rack_001", "runs/shoe rack_002"]


@pytest.mark.parametrize("out", [None, "here", "deep/er"])
def test_a_folder_into_which_nothing_was_written_goes(tmp_path, monkeypatch, out):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RuntimeError), claimed_folder(out, "task") as folder:
        assert folder.path.is_dir()
        raise RuntimeError
    assert not folder.path.exists()
    with pytest.raises(RuntimeError), claimed_folder(out, "task") as folder:
        folder.text("run.json", "{}")
        raise RuntimeError
    assert [p.name for p in folder.path.iterdir()] == ["run.json"]


def test_a_folder_is_held_by_one_run_at_a_time(tmp_path):
    out = tmp_path / "run"
    command = ("-m", "iker_agent.cli", "query", "--task", "shoe_push", "--out", str(out))
    with claimed_folder(out, "task"):
        second = subprocess.run([sys.executable, *command], capture_output=True, text=True, timeout=300)
        assert second.returncode == 1 and second.stderr.count("\n") == 1
        assert "is writing into" in second.stderr and "Traceback" not in second.stderr
    assert not out.exists()


def test_what_begins_and_ends_between_a_look_and_a_claim_is_not_overwritten(tmp_path, monkeypatch):
    from iker_agent.records import run_folder

    def other_run(folder: Path):
        (folder / "run.json").write_text(json.dumps({"mine": True}))
        return locked(folder)

    locked = run_folder.locked
    monkeypatch.setattr(run_folder, "locked", other_run)
    with pytest.raises(ValueError, match="already holds a run"), claimed_folder(tmp_path, "task"):
        pass
    assert json.loads((tmp_path / "run.json").read_text()) == {"mine": True}
