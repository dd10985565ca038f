"""docs/new-task.md is followed word by word, in an empty folder; `iker tasks` lists and draws what is there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from iker_agent.cli import app

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "new-task.md").read_text(encoding="utf-8")
FILES = re.findall(r"`(my-tasks/[\w.]+)`[^`]*?:\n\n```\w+\n(.*?)```", PAGE, re.S)
ENVIRONMENT = re.search(r"`(gym\.make\(.*?\))`", PAGE)[1]
COMMANDS = re.findall(r"```bash\n(.*?)```", PAGE, re.S)


@pytest.mark.slow
def test_the_walk_through_works_outside_the_checkout(tmp_path):
    names = ("toy_house.obj", "objects.yaml", "house_on_tray.yaml", "house_on_tray.yaml")
    assert [name for name, _ in FILES] == [f"my-tasks/{name}" for name in names]
    install, look, use, remove = COMMANDS
    (tmp_path / "my-tasks").mkdir()
    assert "mkdir my-tasks" in install
    *without_programs, (task, programs) = FILES
    for name, text in without_programs:
        (tmp_path / name).write_text(text)
    (tmp_path / "programs").write_text(programs)
    make = f"import gymnasium as gym; {ENVIRONMENT}.close()"
    add = f"python -c '{make}'\ncat programs >> {task}\n"
    script = tmp_path / "walk.sh"
    script.write_text("set -e\n" + look + add + use + remove + "test ! -e my-tasks\n! iker check house_on_tray\n")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", str(script)], cwd=tmp_path, env={**os.environ, "PATH": path}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "house_on_tray: no faults found" in done.stdout and "task done" in done.stdout
    assert (tmp_path / "house-run" / "report.html").exists() and (tmp_path / "house.png").exists()


def test_tasks_are_listed():
    result = CliRunner().invoke(app, ["tasks"], env={"COLUMNS": "200"})
    assert result.exit_code == 0
    for name in ("shoe_place", "shoe_push", "book_push", "book_reorient", "shoe_rack", "book_stow"):
        assert name in result.stdout


def test_a_contact_sheet_shows_every_configuration(tmp_path):
    file = tmp_path / "sheet.png"
    assert CliRunner().invoke(app, ["tasks", "shoe_push", "--sheet", str(file)]).exit_code == 0
    picture = Image.open(file)
    assert picture.width > 2000 and picture.height > 800, "two rows of five"
    with pytest.raises(ValueError, match="a contact sheet is a picture"):
        CliRunner().invoke(app, ["tasks", "shoe_push", "--sheet", "sheet.txt"], catch_exceptions=False)
