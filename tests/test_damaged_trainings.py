"""Damaged training folders and full disks: one sentence that names file and field, and nothing is lost."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
import yaml
from damage import DELETED, changed, refusal
from typer.testing import CliRunner

from iker_agent import atomic
from iker_agent.cli import app
from iker_agent.learning.checkpoint import read_checkpoint, write_checkpoint
from iker_agent.learning.policy_files import load_policy
from iker_agent.learning.ppo_config import PPOConfig
from iker_agent.learning.task_training import TaskTraining
from iker_agent.learning.training import PARTS
from iker_agent.learning.training_folder import TrainSettings, read_settings, read_state, resumed
from iker_envs.physics.mujoco_sim import MujocoSim
from iker_envs.sim import SimulationError

SETTINGS = TrainSettings(
    "shoe_push", learn=PPOConfig(num_envs=4, horizon=2, mini_batches=1, epochs=1, max_steps=8, num_threads=1)
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    TaskTraining(SETTINGS, folder, resume=False).run()
    return folder


@pytest.fixture
def folder(trained, tmp_path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "run"))


def resume(folder: Path, *arguments: str):
    command = ["train", "--resume", str(folder), "learn.max_steps=16", *arguments]
    return CliRunner().invoke(app, command, catch_exceptions=False)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def refused_resume(folder: Path) -> str:
    """The sentence that going on is refused with; the folder is as it was."""
    before = contents(folder)
    told = refusal(resume, folder)
    assert contents(folder) == before
    return told


CONFIGS = [
    ("task", DELETED, "the field 'task' is missing"),
    ("task", 3, "the field 'task' is a text, not 3"),
    ("task", "shoe_pull", "no task 'shoe_pull'"),
    ("observation", "smell", "observation 'smell' is unknown"),
    ("randomisation", "a_file.yaml", "randomisation is 'on', 'off' or ranges by row"),
    ("randomisation", {"friction": "wide"}, "friction"),
    ("randomisation", [1], "randomisation is 'on', 'off' or ranges by row"),
    ("seed", "zero", "the field 'seed' is a whole number, not 'zero'"),
    ("seed", -1, "seed is a whole number from 0"),
    ("colour", "red", "the field 'colour' is unknown"),
    ("learn", DELETED, "the field 'learn' is missing"),
    ("learn", None, "the field 'learn' is a mapping, not None"),
    ("learn.horizon", DELETED, "the field 'learn.horizon' is missing"),
    ("learn.horizon", "long", "the field 'learn.horizon' is a whole number, not 'long'"),
    ("learn.horizon", 2.5, "the field 'learn.horizon' is a whole number, not 2.5"),
    ("learn.horizon", 0, "learn.horizon is at least 1, not 0"),
    ("learn.discount", float("nan"), "the field 'learn.discount' is a number, not nan"),
    ("learn.warm_start", "perhaps", "the field 'learn.warm_start' is true or false, not 'perhaps'"),
    ("learn.patience", 3, "the field 'learn.patience' is unknown"),
    ("facts", DELETED, "the field 'facts' holds task_hash and spec_hash"),
    ("facts", "none", "the field 'facts' holds task_hash and spec_hash"),
    ("facts.spec_hash", DELETED, "the field 'facts' holds task_hash and spec_hash"),
]


@pytest.mark.parametrize(("field", "value", "says"), CONFIGS, ids=[f"{c[0]}-{c[1]!r:.12}" for c in CONFIGS])
def test_a_config_with_a_wrong_field_is_refused_by_file_and_field(folder, field, value, says):
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(changed(yaml.safe_load(path.read_text()), field, value)))
    told = refused_resume(folder)
    assert str(path) in told and says in told


NO_CONFIGS = {
    "empty": b"",
    "comment": b"# nothing",
    "list": b"- 1\n- 2",
    "text": b"just words",
    "cut": b"a: [1, 2",
    "not yaml": b"{[}",
    "bytes": b"\xff\xfe\x00",
    "loop": b"a: &a [*a]",
    "deep": b"[" * 5000,
    "code": b"a: !!python/object/apply:os.getcwd []",
    "date": b"task: 2024-13-45",
    "large": b"x" * 2_000_000,
}


@pytest.mark.parametrize("content", NO_CONFIGS.values(), ids=NO_CONFIGS)
def test_a_config_that_is_no_mapping_is_refused_by_file(folder, content):
    (folder / "config.yaml").write_bytes(content)
    assert str(folder / "config.yaml") in refused_resume(folder)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.7])
def test_a_config_that_was_cut_is_refused_by_file(folder, share):
    path = folder / "config.yaml"
    text = path.read_text()
    path.write_text(text[: int(share * len(text))])
    assert str(path) in refused_resume(folder)


def test_a_bomb_of_aliases_in_a_config_is_refused_at_once(folder):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 9)}]" for k in range(1, 30)]
    (folder / "config.yaml").write_text("\n".join([*lines, "seed: *a29", "task: *a29"]))
    assert str(folder / "config.yaml") in refused_resume(folder)


@pytest.mark.parametrize("part", PARTS)
def test_a_checkpoint_without_one_of_its_parts_is_refused_by_name(folder, part):
    path = folder / "checkpoint.pt"
    state = read_checkpoint(path)
    del state[part]
    write_checkpoint(path, state)
    assert refused_resume(folder) == f"{str(path)!r} lacks the part {part!r} of a checkpoint"


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("value", [None, {"a": torch.zeros(2)}], ids=["nothing", "something else"])
def test_a_checkpoint_with_a_part_that_does_not_fit_is_refused_by_name(folder, part, value):
    path = folder / "checkpoint.pt"
    write_checkpoint(path, {**read_checkpoint(path), part: value})
    told = refused_resume(folder)
    assert told.startswith(f"{str(path)!r} is damaged: its part {part!r} does not fit (")


def test_a_checkpoint_with_weights_that_are_no_numbers_is_refused(folder):
    path = folder / "checkpoint.pt"
    state = read_checkpoint(path)
    state["network"]["mean.weight"][0, 0] = torch.nan
    write_checkpoint(path, state)
    assert "its part 'network' does not fit (it holds numbers that are not finite)" in refused_resume(folder)


@pytest.mark.parametrize(
    ("rates", "words"),
    [([0.5], "rates of 1 and 1 configurations, not"), ([7.0] * 10, "between 0 and 1"), ([torch.nan] * 10, "between 0")],
)
def test_a_checkpoint_with_rates_that_are_none_is_refused(folder, rates, words):
    path = folder / "checkpoint.pt"
    write_checkpoint(path, {**read_checkpoint(path), "curricula": [{"failed": rates, "far": rates}]})
    assert "its part 'curricula' does not fit (it" in (told := refused_resume(folder)) and words in told


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 and no more", b"words", b"\x80\x04."])
def test_what_is_no_checkpoint_is_refused_by_file(folder, content):
    (folder / "checkpoint.pt").write_bytes(content)
    assert f"{str(folder / 'checkpoint.pt')!r} is not a readable checkpoint" in refused_resume(folder)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_checkpoint_that_was_cut_is_refused_by_file(folder, share):
    path = folder / "checkpoint.pt"
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    assert str(path) in refused_resume(folder)


def test_a_checkpoint_with_one_changed_byte_among_its_weights_is_refused(folder):
    path = folder / "checkpoint.pt"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    assert f"{str(path)!r} is not a readable checkpoint" in refused_resume(folder)


def test_a_checkpoint_of_another_program_is_refused(folder):
    for content in ([1, 2], {"format": "other"}, {"x": 1}):
        torch.save(content, folder / "checkpoint.pt")
        assert "is no checkpoint of this project" in refused_resume(folder)
    assert read_settings(folder)[0] == SETTINGS


def test_a_folder_without_a_checkpoint_begins_again_only_when_told_to(folder):
    (folder / "checkpoint.pt").unlink()
    told = refused_resume(folder)
    assert f"{str(folder)!r} has no checkpoint.pt to go on from" in told and f"--resume {folder} --restart" in told
    done = resume(folder, "--restart")
    assert done.exit_code == 0, done.output
    assert read_state(folder)["progress"]["steps"] == 16


def test_restart_does_not_throw_a_checkpoint_away(folder):
    before = contents(folder)
    with pytest.raises(ValueError, match=r"has a checkpoint\.pt: leave --restart out"):
        resume(folder, "--restart")
    with pytest.raises(ValueError, match="--restart is for --resume"):
        CliRunner().invoke(app, ["train", "shoe_push", "--restart"], catch_exceptions=False)
    assert contents(folder) == before


def test_what_is_sound_goes_on(folder):
    assert resumed(folder, lambda learn: learn).settings == SETTINGS
    done = resume(folder)
    assert done.exit_code == 0 and read_state(folder)["progress"]["steps"] == 16


def test_a_training_that_another_process_holds_is_not_gone_on_with(folder):
    hold = "import sys\nfrom iker_agent.records.run_folder import locked\n"
    hold += "with locked(sys.argv[1]):\n    print('held', flush=True)\n    sys.stdin.read()"
    command = [sys.executable, "-c", hold, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        assert f"process {holder.pid} on " in refused_resume(folder)
        holder.communicate("")
    assert resume(folder).exit_code == 0


# -- full disks -------------------------------------------------------------------------------------------------------


@pytest.fixture
def full_after(monkeypatch):
    """full_after(name): writing a file of that name fails as on a full disk, half of it is there."""

    def arrange(name: str) -> None:
        real = atomic.os.replace

        def replace(source, target):
            if Path(target).name == name:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(source))
            real(source, target)

        monkeypatch.setattr(atomic.os, "replace", replace)

    return arrange


@pytest.mark.parametrize("name", ["checkpoint.pt", "policy.safetensors", "metrics.csv", "curve.png", "config.yaml"])
def test_a_full_disk_ends_a_training_in_one_sentence_with_what_was_there_unharmed(folder, full_after, name):
    before = contents(folder)
    full_after(name)
    told = refusal(resume, folder)
    assert f"{str(folder / name)!r} cannot be written: No space left on device" in told
    assert f"go on with iker train --resume {folder}" in told
    after = contents(folder)
    assert set(after) >= set(before) and not [n for n in after if ".part" in n or n == ".lock"]
    assert after[name] == before[name]
    assert read_settings(folder) and read_state(folder) and load_policy(folder / "policy.safetensors")


def test_physics_that_cannot_go_on_ends_a_training_with_the_way_out_and_what_is_there(folder, monkeypatch):
    before = contents(folder)
    monkeypatch.setattr(MujocoSim, "step", Mock(side_effect=SimulationError("no room; make more")))
    with pytest.raises(SimulationError) as caught:
        resume(folder, "learn.max_steps=640")
    assert str(caught.value) == (
        f"no room; make more; the training is there as it was after 8 steps: iker train --resume {folder}"
    )
    monkeypatch.undo()
    assert contents(folder)["checkpoint.pt"] == before["checkpoint.pt"] and resume(folder).exit_code == 0


def test_a_training_on_a_disk_that_is_full_from_the_beginning_says_so(tmp_path, full_after):
    full_after("checkpoint.pt")
    run = TaskTraining(SETTINGS, tmp_path, resume=False)
    told = refusal(run.run)
    assert "checkpoint.pt' cannot be written: No space left on device; nothing of this training has been saved" in told


@pytest.fixture
def small_disk(tmp_path):
    """A real file system of 256 kB, which no checkpoint fits into."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)], capture_output=True).returncode:
        pytest.skip("a small disk is mounted for this test: run it as root")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_disk_that_runs_full_while_training_leaves_no_half_written_file(small_disk):
    told = refusal(TaskTraining(SETTINGS, small_disk, resume=False).run)
    assert "checkpoint.pt' cannot be written: No space left on device" in told
    assert {path.name for path in small_disk.iterdir() if not path.name.startswith("events")} == {"config.yaml"}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_an_evaluation_whose_result_cannot_be_written_says_so_before_it_begins(tmp_path):
    (tmp_path / "folder").mkdir()
    for place in (tmp_path / "folder", tmp_path / "none" / "x.json"):
        arguments = ["eval", "waypoint", "--task", "shoe_push", "--json", str(place)]
        with pytest.raises(ValueError, match="--json is a file that can be written"):
            CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_a_result_file_is_replaced_whole_or_not_at_all(tmp_path, full_after):
    path = tmp_path / "result.json"
    path.write_text("before")
    full_after("result.json")
    arguments = ["eval", "waypoint", "--task", "shoe_push", "--configurations", "0", "--num-envs", "2"]
    with pytest.raises(OSError, match=r"No space left on device: .*/result\.json"):
        CliRunner().invoke(app, [*arguments, "--json", str(path)], catch_exceptions=False)
    assert path.read_text() == "before" and [p.name for p in tmp_path.iterdir()] == ["result.json"]
