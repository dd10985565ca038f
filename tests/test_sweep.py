"""Many trainings from one file: planned, carried out, killed and gone on with, told in one table."""

from __future__ import annotations

import ipaddress
import json
import os
import pickle
import signal
import subprocess
import sys
import time
import uuid
from dataclasses import replace
from pathlib import Path

import pytest

from iker_agent.commands.app import call
from iker_agent.commands.ending import explained
from iker_agent.learning.ppo_config import PPOConfig
from iker_agent.learning.training_folder import CHECKPOINT, CONFIG, read_settings
from iker_agent.limits import Unusable
from iker_agent.sweep.plan import Sweep, read_sweep
from iker_agent.sweep.run import FAILURE, ROWS, TABLE, run_sweep
from iker_agent.sweep.runners import Failure, attempted, in_turn
from iker_agent.sweep.trial import RESULT, finished, trial_folder

TINY = {"num_envs": 4, "horizon": 4, "max_steps": 32, "checkpoint_every_s": 60, "num_threads": 1}
BASE = PPOConfig()


def tiny(**given):
    return Sweep(**{"tasks": ["shoe_push"], "learn": TINY, "copies": 2, "configurations": "0", **given}).trials(BASE)


# ---------------------------------------------------------------------------------------------------------- the plan


def test_every_task_is_trained_with_every_seed_and_all_settings():
    settings = {"base": {}, "pose": {"observation": "pose", "learn.discount": 0.9}}
    trials = tiny(tasks=["shoe_push", "book_push"], seeds=[0, 3], settings=settings)
    told = [(t.settings.task, t.variant, t.settings.seed, t.settings.observation) for t in trials]
    assert told == [
        (task, variant, seed, observation)
        for task in ("shoe_push", "book_push")
        for variant, observation in (("base", "keypoints"), ("pose", "pose"))
        for seed in (0, 3)
    ]
    assert len({trial.name for trial in trials}) == 8
    assert {t.settings.learn.discount for t in trials if t.variant == "pose"} == {0.9}
    assert all(t.settings.learn.num_envs == 4 and t.evaluation.num_envs == 2 for t in trials)


def test_a_trials_hash_is_of_what_its_result_depends_on():
    (trial,) = tiny()
    (longer,) = tiny(learn={**TINY, "max_steps": 64})
    (evaluated,) = tiny(copies=3)
    (threads,) = tiny(learn={**TINY, "num_threads": 2}, cpus=2)
    assert len({trial.hash, longer.hash, evaluated.hash}) == 3
    assert threads.hash == trial.hash, "speed alone is no other trial"


def test_a_trial_reads_its_task_once_and_stays_the_same_trial(monkeypatch):
    (trial,) = tiny()
    name = trial.name
    monkeypatch.setattr("iker_agent.sweep.plan.load_task", lambda _: pytest.fail("read again"))
    assert (trial.name, pickle.loads(pickle.dumps(trial)).name) == (name, name)  # as a worker of Ray gets it


def test_a_file_is_read_with_yamls_words_for_on_and_off(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text("tasks: [shoe_push]\nrandomisation: off\nseeds: [1, 2]\nsettings: {r: {randomisation: on}}\n")
    sweep = read_sweep(path)
    assert [trial.settings.randomisation for trial in sweep.trials(BASE)] == ["on", "on"]
    assert [t.settings.randomisation for t in replace(sweep, settings={"d": {}}).trials(BASE)] == ["off", "off"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("seeds: [0]", "is no sweep: it is a mapping that has at least tasks"),
        ("tasks: []", "tasks of a sweep are a list with at least one entry"),
        ("tasks: shoe_push", "tasks of a sweep are a list with at least one entry, not 'shoe_push'"),
        ("tasks: [shoe_push, shoe_push]", "tasks of a sweep are all different"),
        ("tasks: [push]", "'push' is a family of stages"),
        ("tasks: [3]", "tasks of a sweep are names or paths of task files, not 3"),
        ("tasks: [shoe_push]\nseeds: [-1]", "seed is a whole number from 0"),
        ("tasks: [shoe_push]\nseeds: [0.5]", "seeds of a sweep are whole numbers, not 0.5"),
        ("tasks: [shoe_push]\nlearning: {}", "'learning' is unknown; known: tasks"),
        ("tasks: [shoe_push]\nlearn: 3", "learn is a mapping such as"),
        ("tasks: [shoe_push]\nsettings: {}", "settings of a sweep are mappings by name"),
        ("tasks: [shoe_push]\nsettings: {'a/b': {}}", "settings have names of letters, digits"),
        ("tasks: [shoe_push]\nsettings: {a: 1}", "settings 'a' are a mapping such as"),
        ("tasks: [shoe_push]\nsettings: {a: {run.retries: 1}}", "settings 'a' hold learn.KEY, observation or"),
        ("tasks: [shoe_push]\ncopies: 0", "copies is at least 1, not 0"),
    ],
)
def test_a_file_that_is_no_sweep_is_refused_with_its_name(tmp_path, content, reason):
    path = tmp_path / "bad.yaml"
    path.write_text(content)
    with pytest.raises(ValueError, match=reason) as told:
        read_sweep(path)
    assert "bad.yaml" in str(told.value)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"learn": {"discuont": 0.9}}, "did you mean 'learn.discount'"),
        ({"learn": {"discount": 2}}, "learn.discount is from 0 to 1"),
        ({"tasks": ["nowhere"]}, "nowhere"),
        ({"observation": "pixels"}, "'pixels' is unknown"),
        ({"randomisation": "some.yaml"}, "some.yaml"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_before_anything_is_trained(given, reason):
    with pytest.raises(ValueError, match=reason):
        tiny(**given)


# ------------------------------------------------------------------------------------------------------- carried out


def test_a_sweep_that_is_stopped_and_called_again_keeps_what_has_finished(tmp_path):
    """The second trial cannot be trained until its folder is mended: it is told, and stops nobody."""
    trials = tiny(seeds=[0, 1, 2])
    damaged = trial_folder(trials[1], tmp_path) / CHECKPOINT
    damaged.parent.mkdir(parents=True)
    damaged.write_bytes(b"no checkpoint")

    def stopped(remaining, folder):
        yield remaining[0], attempted(remaining[0], folder)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_sweep(trials, tmp_path, stopped)
    done = trial_folder(trials[0], tmp_path) / RESULT
    before = (done.read_bytes(), done.stat().st_mtime_ns)
    assert [row["state"] for row in json.loads((tmp_path / ROWS).read_text())] == ["finished", *["not finished"] * 2]

    heard = []
    result = run_sweep(trials, tmp_path, in_turn, lambda trial, outcome: heard.append(trial.settings.seed))
    assert (heard, result.kept, result.complete) == ([1, 2], 1, False)
    assert (done.read_bytes(), done.stat().st_mtime_ns) == before
    reason = result.failed[trials[1].name].reason
    assert "checkpoint.pt" in reason and reason in (damaged.parent / FAILURE).read_text()
    table = (tmp_path / TABLE).read_text()
    assert table.count("budget used up") == 2 and f"failed: {reason}" in table and trials[2].hash in table
    rows = json.loads((tmp_path / ROWS).read_text())
    assert [row["state"] for row in rows] == ["finished", "failed", "finished"]
    assert rows[2]["steps"] == 32 and rows[2]["interval"][0] <= rows[2]["success_rate"] <= rows[2]["interval"][1]

    damaged.unlink()
    mended = run_sweep(trials, tmp_path, in_turn)
    assert (mended.kept, mended.complete, mended.failed) == (2, True, {})
    assert not (damaged.parent / FAILURE).exists()


def test_a_trial_goes_on_from_its_checkpoint(tmp_path):
    (half,) = tiny(learn={**TINY, "max_steps": 16})
    attempted(half, tmp_path)
    (whole,) = tiny()
    folder = trial_folder(half, tmp_path)
    (folder / RESULT).unlink()
    folder.rename(trial_folder(whole, tmp_path))  # as if the longer training had been killed after half of its steps
    record = attempted(whole, tmp_path)
    rows = (trial_folder(whole, tmp_path) / "metrics.csv").read_text().splitlines()
    assert record["steps"] == 32 and len(rows) == 1 + 2
    assert read_settings(trial_folder(whole, tmp_path))[0] == whole.settings


def test_a_result_that_is_damaged_or_of_something_else_is_not_believed(tmp_path):
    (trial,) = tiny()
    path = trial_folder(trial, tmp_path) / RESULT
    assert finished(trial, tmp_path) is None
    path.parent.mkdir(parents=True)
    for text in ("{", "[]", '{"hash": "0"}', "{}"):
        path.write_text(text)
        with pytest.raises(Unusable, match=r"is damaged .*; remove it to train the trial again"):
            finished(trial, tmp_path)


def test_a_result_from_a_machine_that_does_not_share_the_folder_is_kept(tmp_path):
    (trial,) = tiny()
    record = attempted(trial, tmp_path / "there")
    assert not isinstance(record, Failure)
    run_sweep([trial], tmp_path / "here", lambda remaining, folder: iter([(trial, record)]))
    assert finished(trial, tmp_path / "here") == json.loads(json.dumps(record))


# -------------------------------------------------------------------------------------------------------- the command


def test_the_command_shows_its_plan_without_training(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("two.yaml").write_text(f"tasks: [shoe_push]\nseeds: [0, 1]\nlearn: {json.dumps(TINY)}\ncopies: 2\n")
    assert call(["sweep", "two.yaml", "--dry-run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and all(line.endswith(": to be trained") for line in lines)
    assert [path.name for path in Path().iterdir()] == ["two.yaml"]


def test_a_missing_ray_is_told_with_the_pip_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("iker_agent.commands.ending.find_spec", lambda name: None)
    Path("one.yaml").write_text("tasks: [shoe_push]\n")
    with pytest.raises(ModuleNotFoundError) as missing:
        call(["sweep", "one.yaml"])
    assert "python -m pip install 'iker[cluster]'" in explained(missing.value).sentence
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("arguments", "content", "reason"),
    [
        (["--workers", "-1"], "", "--workers is at least 0, not -1"),
        (["--workers", "1"], "cpus: 2", "a trial takes 2 CPUs and --workers is 1"),
    ],
)
def test_workers_that_cannot_do_it_are_refused(tmp_path, monkeypatch, arguments, content, reason):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("iker_agent.commands.ending.find_spec", lambda name: object())
    Path("one.yaml").write_text(f"tasks: [shoe_push]\n{content}\n")
    with pytest.raises(ValueError, match=reason):
        call(["sweep", "one.yaml", *arguments])


def processes_of(mark: str) -> list[int]:
    """Processes whose environment holds a mark, which children inherit."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark.encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:  # it has ended, or is another user's
            continue
    return found


def heard_by(processes: list[int]) -> set[str]:
    """Addresses at which processes listen for connections over TCP."""
    sockets = set()
    for process in processes:
        for path in Path(f"/proc/{process}/fd").glob("*"):
            try:
                sockets.add(os.readlink(path))
            except OSError:
                continue
    addresses = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            _, local, _, state, *rest = line.split()
            if state == "0A" and f"socket:[{rest[5]}]" in sockets:
                words = bytes.fromhex(local.partition(":")[0])
                swapped = b"".join(words[k : k + 4][::-1] for k in range(0, len(words), 4))
                address = ipaddress.ip_address(swapped)
                addresses.add(str(getattr(address, "ipv4_mapped", None) or address))
    return addresses


@pytest.mark.slow
def test_a_sweep_on_ray_that_is_killed_in_the_middle_loses_nothing_that_had_finished(tmp_path):
    pytest.importorskip("ray", reason="a sweep on a cluster needs ray: pip install 'iker[cluster]'")
    file = tmp_path / "four.yaml"
    learn = json.dumps({**TINY, "num_envs": 16, "horizon": 8, "max_steps": 640, "checkpoint_every_s": 1})
    file.write_text(f"tasks: [shoe_push, book_push]\nseeds: [0, 1]\nlearn: {learn}\ncopies: 2\nconfigurations: '0'\n")
    out = tmp_path / "out"
    mark = f"SWEEP_MARK={uuid.uuid4()}"
    environment = {**os.environ, "SWEEP_MARK": mark.partition("=")[2], "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "iker_agent", "sweep", str(file), "--out", str(out), "--workers", "2"]
    first = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    addresses: set[str] = set()
    deadline = time.monotonic() + 240.0
    try:
        while not list(out.glob(f"trials/*/{RESULT}")) and first.poll() is None and time.monotonic() < deadline:
            addresses |= heard_by(processes_of(mark))
            time.sleep(0.5)
    finally:
        first.kill()
    printed = first.communicate()[0]
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in out.glob(f"trials/*/{RESULT}")}
    assert first.returncode == -signal.SIGKILL and 0 < len(before) < 4, printed
    assert addresses and all(ipaddress.ip_address(address).is_loopback for address in addresses), addresses

    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in before} == before
    rows = json.loads((out / ROWS).read_text())
    assert [(row["state"], row["steps"]) for row in rows] == [("finished", 640)] * 4
    assert f"4 of 4 trials have a result, {len(before)} of them from before" in done.stdout
    assert len(list(out.glob(f"trials/*/{CONFIG}"))) == 4
    while processes_of(mark) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert processes_of(mark) == [], "nothing of either Ray is left"
