"""Ids of the tasks in the folders of IKER_TASKS: registered on import, lightly, whatever else the folders hold."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from iker_agent.cli import app
from iker_envs.task import find_task
from iker_envs.user_tasks import user_tasks

SHIPPED = find_task("shoe_push").read_text("utf-8")
BOMB = "a: &a [x, x]\nb: &b [*a, *a]\n" + "".join(f"c{i}: &c{i} [{'*b, ' * 99} *b]\n" for i in range(99))


def task(name: str) -> str:
    return SHIPPED.replace("id: IKER-ShoePush-v0", f"id: {name}")


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("IKER_TASKS", str(tmp_path))
    return tmp_path


def after_import(code: str) -> dict:
    script = f"import json, sys, gymnasium as gym, iker_envs\n{code}\nprint(json.dumps(found))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120)
    assert done.stderr == ""
    return json.loads(done.stdout)


def test_a_users_id_makes_its_environment_after_the_import(folder):
    (folder / "mine.yaml").write_text(task("Mine-Push-v3"))
    found = after_import(
        "heavy = sorted({'mujoco', 'torch', 'scipy', 'iker_envs.task'} & set(sys.modules))\n"
        "env = gym.make('Mine-Push-v3')\n"
        "envs = gym.make_vec('Mine-Push-v3', num_envs=2, num_threads=1)\n"
        "found = [heavy, list(env.reset(seed=0)[0].shape), list(envs.reset(seed=0)[0].shape), iker_envs.USER_TASKS]"
    )
    assert found == [[], [38], [2, 38], {"Mine-Push-v3": str(folder / "mine.yaml")}]


def test_no_file_can_break_or_slow_the_import(folder):
    (folder / "bomb.yaml").write_text(BOMB + "id: Late-Bomb-v0\n")
    (folder / "deep.yaml").write_text("[" * 100_000)
    (folder / "large.yaml").write_text("id: Large-v0\n" + "x: 1\n" * 1_000_000)
    (folder / "noise.yaml").write_bytes(bytes(range(128, 256)))
    (folder / "folder.yaml").mkdir()
    (folder / "list.yaml").write_text("[1, 2]")
    (folder / "nested.yaml").write_text("x: {id: Nested-v0}\nid: [Listed-v0]\n")
    (folder / "unversioned.yaml").write_text("id: IKER-ShoePush\n")
    (folder / "words.yaml").write_text("id: Two Words-v0\n")
    (folder / "gone.yaml").symlink_to("nowhere.yaml")
    if hasattr(os, "mkfifo"):
        os.mkfifo(folder / "pipe.yaml")
    ours = "[id for id in gym.registry if id.startswith('IKER-ShoePush')]"
    found = after_import(f"found = [sorted(iker_envs.USER_TASKS), {ours}]")
    assert found == [["Large-v0", "Late-Bomb-v0"], ["IKER-ShoePush-v0", "IKER-ShoePush-Real-v0"]]


def test_no_id_takes_the_place_of_another(folder):
    (folder / "copy.yaml").write_text(task("IKER-ShoePush-v0"))
    (folder / "first.yaml").write_text(task("Mine-v0"))
    (folder / "second.yaml").write_text(task("Mine-v0"))
    (folder / "third.yaml").write_text(task("CartPole-v1"))
    (folder / "without_version.yaml").write_text(task("Mine"))
    usable, problems = user_tasks()
    assert usable == {"Mine-v0": str(folder / "first.yaml")}
    endings = ("copy.yaml belongs to shoe_push", f"second.yaml belongs to {folder / 'first.yaml'}")
    endings += ("third.yaml belongs to another environment", "a version, like Mine-without_version-v0")
    assert len(problems) == 4 and all(end in problem for end, problem in zip(endings, problems, strict=True))
    listed = CliRunner().invoke(app, ["tasks"])
    assert listed.exit_code == 0 and all(problem in listed.stderr for problem in problems)


def test_environments_are_listed_with_the_users_own(folder, monkeypatch):
    (folder / "mine.yaml").write_text(task("Mine-v0"))
    (folder / "faulty.yaml").write_text("id: Faulty-v0\n")
    monkeypatch.setattr("iker_envs.USER_TASKS", user_tasks()[0])
    listed = CliRunner().invoke(app, ["envs"])
    assert listed.exit_code == 0 and "\nMine-v0 " in listed.stdout and "\nIKER-Stage-v0 " in listed.stdout
    assert "Faulty-v0" not in listed.stdout and "Faulty-v0: the task file" in listed.stderr
