"""The built wheel holds everything that a run needs, and works away from the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def _call(*command: str, cwd: Path, **environment: str) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, env={**os.environ, **environment})
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )
    for name in filter(None, tracked):
        target = source / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).exists():
            target.write_bytes((ROOT / name).read_bytes())
    options = ("--no-deps", "--no-build-isolation", "--no-index", "-q", "-w", str(folder))
    _call(sys.executable, "-m", "pip", "wheel", *options, str(source), cwd=folder)
    return next(folder.glob("iker-*.whl"))


def test_wheel_holds_code_and_data(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"iker_envs/env.py", "iker_agent/cli.py", "iker_agent/program/child.py", "real_env/__init__.py"} <= names
    for folder, package in (("cfg", "iker_cfg"), ("iker_agent", "iker_agent"), ("iker_envs", "iker_envs")):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in (".yaml", ".md", ".j2", ".py"):
                assert f"{package}/{path.relative_to(ROOT / folder)}" in names


@pytest.mark.slow
def test_wheel_runs_the_loop_in_an_empty_folder(wheel, tmp_path):
    site = tmp_path / "site"
    empty = tmp_path / "empty"
    empty.mkdir()
    options = ("--no-deps", "--no-index", "-q", "--target", str(site))
    _call(sys.executable, "-m", "pip", "install", *options, str(wheel), cwd=tmp_path)
    code = "import iker_envs, iker_cfg; print(iker_envs.__file__, iker_cfg.__file__)"
    where = _call(sys.executable, "-c", code, cwd=empty, PYTHONPATH=str(site))
    assert all(name.startswith(str(site)) for name in where.split())
    command = "from iker_agent.cli import main; main()"
    arguments = ("run", "--learner", "waypoint", "--out", "run", "run.video=false")
    printed = _call(sys.executable, "-c", command, *arguments, cwd=empty, PYTHONPATH=str(site))
    assert "task done" in printed and (empty / "run" / "report.html").exists()
