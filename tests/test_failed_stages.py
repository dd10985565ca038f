"""A stage that failed says so first: in run.json by one word, in the report before anything else about the stage."""

from __future__ import annotations

import contextlib
import html
import json
import re
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from iker_agent.config import make_config
from iker_agent.learning.learner import Learned
from iker_agent.loop import run_task
from iker_agent.records.report import write_report
from iker_agent.records.run_folder import Folder
from iker_agent.vlm.errors import VLMUnavailable
from iker_agent.vlm.types import Reply
from iker_envs.spec import Spec
from tests.quiet_display import Quiet


class Steady:
    """A policy that does the same at every tick, and its own learner."""

    spec = Spec()

    def __init__(self, *action: float) -> None:
        self.action = np.array(action, dtype=np.float32)

    def act(self, observations):
        return np.tile(self.action, (len(observations), 1))

    def save(self, path):
        Path(path).write_bytes(b"steady")

    def learn(self, scene, goal, **_):
        return Learned(self)


class Raising:
    """A learner and a backend that raise what they are given."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def learn(self, scene, goal, **_):
        raise self.error

    def complete(self, request):
        raise self.error


class Silent:
    """A backend whose replies hold no program."""

    def complete(self, request):
        return Reply("I cannot see any shoes.", backend="silent")


# failure: settings, backend, learner, badge, what failed, what follows
STORIES = {
    "scene": (
        ("task=book_push", "perception.rotation_deg=120", "perception.looks=1"),
        *(None, None),
        *("No scene", "Book moved by", "no program was asked for and nothing moved."),
    ),
    "backend": (
        ("task=shoe_push",),
        *(Raising(VLMUnavailable("the server is down for good")), None),
        *("No answer", "The server is down for good.", "Nobody answered, so there is no goal and nothing moved."),
    ),
    "answer": (
        ("task=shoe_push", "run.repairs=1"),
        *(Silent(), None),
        *("No usable answer", "No usable program after 2 answers:", "so there is no goal and nothing moved."),
    ),
    "learning": (
        ("task=shoe_push",),
        *(None, Raising(ValueError("no way is left around right_shoe"))),
        *("No policy", "No way is left around right_shoe.", "made no policy for this goal, so nothing moved."),
    ),
    "grasp": (
        ("task=shoe_place", "perception.position_m=0.04", "run.regrasps=0"),  # too far off to be felt
        *(None, None),
        *(
            "Grasp failed",
            "The fingers closed on nothing: left_shoe was not lifted.",
            "never had left_shoe in the hand",
        ),
    ),
    "lost": (
        ("task=shoe_place",),
        *(None, Steady(0, 1, -1, 0, 0, 0)),
        *("Object lost", "left_shoe was let go in the air and fell", "The policy was stopped there, after 0.4 s."),
    ),
    "target": (
        ("task=shoe_push",),
        *(None, Steady(0, 0, 1, 0, 0, 0)),
        *("Missed", "The hand did not touch left_shoe; it came no nearer than", ""),
    ),
    "interrupted": (
        ("task=shoe_push",),
        *(None, Raising(KeyboardInterrupt())),
        *("Interrupted", "The run was stopped in this stage.", "A goal had been accepted; there was no policy for it"),
    ),
    "error": (
        ("task=shoe_push",),
        *(Raising(RuntimeError("the arm does not answer\nTraceback")), None),
        *("Broken off", "Broken off by an error: RuntimeError: the arm does not answer.", "No goal had been accepted"),
    ),
}


def run(folder: Path, settings, backend, learner) -> None:
    """One stage without a second try, however it ends, and its report."""
    config = make_config((*settings, "run.video=false", "run.retries=0"), learner="waypoint")
    with contextlib.suppress(KeyboardInterrupt, RuntimeError):  # they go on to the command; the folder is the matter
        run_task(config, Folder(folder), Quiet(), backend, learner)
    write_report(folder)


@pytest.fixture(scope="module")
def failed(tmp_path_factory) -> Callable[[str], Path]:
    """Failure -> the folder of a run that ends so, made once."""

    @cache
    def folder_of(failure: str) -> Path:
        folder = tmp_path_factory.mktemp(failure)
        run(folder, *STORIES[failure][:3])
        return folder

    return folder_of


def words(folder: Path) -> str:
    """The report as a reader sees it, without tags and style."""
    page = (folder / "report.html").read_text(encoding="utf-8")
    body = re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())


@pytest.mark.parametrize("failure", STORIES)
def test_what_failed_comes_first(failed, failure):
    badge, headline, consequence = STORIES[failure][3:]
    folder = failed(failure)
    record = json.loads((folder / "run.json").read_text())
    assert record["stages"][0]["failed"] == failure and not record["success"]
    told = words(folder)
    section = told[told.index("Stage 1: ") :]
    begin = re.match(r"Stage 1: (no goal|(push|grasp and place) \w+) ", section)
    assert section[begin.end() :].startswith(f"{badge} {headline}"), section[:200]
    assert consequence in section.split("What it saw")[0].split("How this run was made")[0]
    if failure not in ("target", "interrupted"):
        assert f"no ({badge.lower()})" in told
    if failure == "grasp":
        assert "Steps of the policy" not in section
    if failure == "interrupted":
        assert "Interrupted The run was stopped in stage 1 (push left_shoe) before it came to an end." in told
    if failure == "error":
        assert "Not done Broken off by an error: RuntimeError: the arm does not answer." in told


def test_a_ready_policy_does_not_outshine_a_failed_grasp(tmp_path, failed):
    """The row that this kind began with: "Nothing had to be learned here: 99 %" beside a hand that lifted nothing."""
    shutil.copytree(failed("grasp"), tmp_path, dirs_exist_ok=True)
    header = (tmp_path / "stage_01" / "metrics.csv").read_text().splitlines()[0]
    values = {"steps": "0", "eval_strict": "0.99"}
    row = ",".join(values.get(name, "nan") for name in header.split(","))
    (tmp_path / "stage_01" / "metrics.csv").write_text(f"{header}\n{row}\n")
    write_report(tmp_path)
    told = words(tmp_path)
    assert "Nothing had to be learned here" not in told
    assert told.index("The fingers closed on nothing") < told.index("99 %")
    assert (
        "had reached 99 % strict success in fresh copies of the scene, which begin with the object in the hand." in told
    )


def test_a_record_of_an_earlier_version_is_judged_by_its_outcome(tmp_path, failed):
    shutil.copytree(failed("grasp"), tmp_path, dirs_exist_ok=True)
    record = json.loads((tmp_path / "run.json").read_text())
    del record["stages"][0]["failed"]
    (tmp_path / "run.json").write_text(json.dumps(record))
    write_report(tmp_path)
    assert "Grasp failed The fingers closed on nothing: left_shoe was not lifted." in words(tmp_path)
