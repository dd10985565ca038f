"""What the model is told: the rules of every prompt, history, repair turns, and the pose contract through the loop."""

from __future__ import annotations

import json
from importlib.resources import files

import numpy as np
import pytest

from iker_agent.asking.ask import NoAnswer, Requirements, ask
from iker_agent.asking.prompts import Turn, build_request, object_poses
from iker_agent.config import make_config
from iker_agent.loop import run_task
from iker_agent.program import extract_program
from iker_agent.prompt_kinds import PROMPTS, prompt_kind
from iker_agent.records.run_folder import Folder
from iker_agent.seeing.keypoints import select_keypoints
from iker_agent.seeing.look import Look
from iker_agent.vlm.annotated import AnnotatedVLM
from iker_agent.vlm.errors import VLMEmpty, VLMTruncated
from iker_agent.vlm.types import Reply
from iker_envs.events import Event, EventKind
from iker_envs.scene import Outcome
from iker_envs.task import load_task

MARKED = np.zeros((4, 4, 3), np.uint8)
FAILED = Outcome(False, False, 0.1, 0.0, 0.0, 0.0, reason="the keypoints are 10.0 cm off")


@pytest.fixture
def seen(rack_scene, blank_view) -> Look:
    return Look(rack_scene, select_keypoints(rack_scene, blank_view(rack_scene)), MARKED)


def texts(request) -> str:
    return "\n".join(part.text for message in request.messages for part in message.parts)


def build(seen: Look, name: str, history=(), **options):
    keypoints = seen.keypoints.by_label()
    return build_request("Tidy up", MARKED, keypoints, seen.scene, history, prompt=prompt_kind(name), **options)


COMMON = ("metres", "+x points away from the robot and is up", "+y points to the", "grasp_mode", "8 cm", "bottom right")
STAGES = ("exactly one object", "change the plan", "Return None", "only if the current image shows")
KEYPOINTS = ("get_interaction_data(keypoint_coordinates)", "a yellow dot", "rigid body", "all matching keypoints")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("single_stage", (*COMMON, *KEYPOINTS, "one movement of one object")),
        ("multi_stage", (*COMMON, *KEYPOINTS, *STAGES)),
        ("multi_stage_examples", (*COMMON, *KEYPOINTS, *STAGES, "Two examples of good answers")),
        ("poses", (*COMMON, *STAGES, "get_final_poses(object_poses)", "roll, pitch, yaw", "- left_shoe: 0.335")),
    ],
)
def test_a_prompt_says_what_a_program_must_be(seen, name, words):
    told = " ".join(texts(build(seen, name)).split())
    for word in words:
        assert word in told, word
    assert told.endswith("Tidy up") or name == "poses"
    assert ("0.335" in told) == (name == "poses"), "coordinates are for programs, the model sees marks"


def test_every_prompt_file_is_used_and_every_prompt_has_its_files():
    folder = files("iker_cfg").joinpath("prompts")
    there = {p.name.removesuffix(".md") for p in folder.iterdir() if p.name.endswith(".md")}
    assert there == {name for kind in PROMPTS.values() for name in kind.files}


def test_the_examples_are_programs_that_run():
    from iker_agent.program import run_program

    text = files("iker_cfg").joinpath("prompts/multi_stage_examples.md").read_text(encoding="utf-8")
    labels = {str(k): (0.3 + 0.02 * k, 0.03 * (k % 4), 0.05) for k in range(1, 13)}
    for part in text.split("### Example")[1:]:
        code, warnings = extract_program(part)
        result = run_program(code, labels)
        assert result.status == "ok" and warnings == (), result.message


def test_history_is_told_with_outcomes_or_without(seen):
    turns = [Turn(MARKED, "../stage_01/marked.png", "program one", FAILED), Turn(MARKED, "b.png", "two", note="no way")]
    told = texts(build(seen, "multi_stage", turns))
    assert "## Earlier stage 2" in told and "program one" in told and "10.0 cm off" in told and "no way" in told
    plain = texts(build(seen, "multi_stage", turns, outcomes=False))
    assert "program one" in plain and "10.0 cm off" not in plain and "no way" not in plain
    assert "program one" not in texts(build(seen, "single_stage", turns))


TOLD = {
    "a near miss": (
        (False, 0.031),
        (Event(EventKind.OFF_TARGET, "cup", distance_m=0.031, direction="2.9 cm too far left"),),
        "This stage missed narrowly: cup ended 3.1 cm from its target (2.9 cm too far left).",
    ),
    "a cause": (
        (False, 0.06),
        (
            Event(EventKind.BLOCKED, "cup", "mug", 0.06),
            Event(EventKind.OFF_TARGET, "cup", distance_m=0.06, direction="6 cm too near"),
        ),
        "This stage failed: cup was stopped by mug, 6 cm short.",
    ),
    "a side effect": (
        (True, 0.01),
        (Event(EventKind.MOVED_OTHER, "cup", "mug", 0.04, direction="to the left"),),
        "This stage succeeded: its keypoints are 1 cm from their targets, but mug was moved by 4 cm to the left.",
    ),
    "a side effect that is too large": (
        (False, 0.01),
        (Event(EventKind.MOVED_OTHER, "cup", "mug", 0.04, direction="to the left"),),
        "This stage failed: reached its target, but mug was moved by 4 cm to the left.",
    ),
}


@pytest.mark.parametrize("name", TOLD)
def test_history_tells_what_happened(name):
    (reached, error_m), events, words = TOLD[name]
    outcome = Outcome(reached, reached, error_m, 0.0, 0.0, 0.0 if reached else 0.04, happened=events)
    assert Turn(MARKED, "a.png", "one", outcome).outcome_text() == words


def test_history_does_not_tell_where_the_annotation_wants_things():
    outcome = Outcome(False, False, 0.01, 0.0, 0.0, 0.0, 0.12, "the keypoints are 12.0 cm off the annotated target")
    assert (
        Turn(MARKED, "a.png", "one", outcome).outcome_text().startswith("This stage succeeded: its keypoints are 1 cm")
    )


def test_a_users_own_prompt_is_a_path(tmp_path, seen):
    (tmp_path / "mine.md").write_text("Mine alone.")
    assert texts(build(seen, str(tmp_path / "mine.md"))).startswith("Mine alone.")
    assert make_config((f"prompt={tmp_path / 'mine.md'}",)).prompt.endswith("mine.md")


class Scripted:
    """Gives replies or raises errors, one after another."""

    def __init__(self, *steps) -> None:
        self.steps = list(steps)
        self.requests = []

    def complete(self, request):
        self.requests.append(request)
        step = self.steps.pop(0)
        if isinstance(step, Exception):
            raise step
        return Reply(step, backend="scripted")


PUSH = """```python
def get_interaction_data(kp):
    for k in ["5", "6", "7", "8"]:
        kp[k] = kp[k] + np.array([0.05, {dy}, 0])
    {extra}
    return "left shoe", ["5", "6", "7", "8"], False, kp
```"""


def test_the_repair_dialogue_grows_by_one_reason_each_time(tmp_path, seen):
    cut = VLMTruncated("the reply was cut at the limit of 10 tokens", Reply("half", backend="scripted"))
    steps = (
        *(cut, "I would push it.", PUSH.format(dy=0, extra="half_len + 1")),
        *(PUSH.format(dy=0, extra="kp['5'] += 0.2"), PUSH.format(dy=-0.1, extra="pass")),
    )
    vlm = Scripted(*steps)
    told = []
    answer = ask(vlm, build(seen, "multi_stage"), seen, Requirements("Tidy up"), Folder(tmp_path), told.append)
    assert answer.goal.object == "left_shoe" and answer.answers == 5
    assert answer.refusals == told and [len(r.messages) for r in vlm.requests] == [1, 3, 5, 7, 9]
    for reason, words in zip(
        told, ("cut at", "no code that defines", "line 4: NameError", "keep the distances"), strict=True
    ):
        assert words in reason
    assert "Your answer cannot be used: line 4: NameError" in (tmp_path / "prompt.md").read_text()
    assert [m.role for m in vlm.requests[-1].messages] == ["user", *["assistant", "user"] * 4]


def test_done_in_a_reply_that_may_be_cut_is_asked_again(tmp_path, seen):
    cut = "I would push it.\n```python\ndef get_interaction_data(kp):\n    return"
    vlm = Scripted(cut, cut + "\n```")
    told = []
    assert ask(vlm, build(seen, "multi_stage"), seen, Requirements(), Folder(tmp_path), told.append).goal is None
    assert told == ["the program says done, but the code block is not closed: the reply may be cut"]


def test_the_program_that_is_left_is_that_of_the_reply_that_is_left(tmp_path, seen):
    vlm = Scripted(PUSH.format(dy=9, extra="pass"), "no code")
    with pytest.raises(NoAnswer):
        ask(vlm, build(seen, "multi_stage"), seen, Requirements(repairs=1), Folder(tmp_path))
    assert (tmp_path / "reply.md").read_text() == "no code" and not (tmp_path / "program.py").exists()


def test_after_the_last_repair_there_is_a_clear_end(tmp_path, seen):
    vlm = Scripted(*[VLMEmpty("the reply has no text")] * 5)
    with pytest.raises(NoAnswer, match="no usable program after 5 answers: the reply has no text") as end:
        ask(vlm, build(seen, "multi_stage"), seen, Requirements(), Folder(tmp_path))
    assert len(end.value.refusals) == 5 and not (tmp_path / "goal.json").exists()


def test_what_was_read_generously_is_noted(tmp_path, seen):
    two = PUSH.replace('"left shoe", ["5", "6", "7", "8"]', '"left shoe", ["5", "6"]').replace(
        'for k in ["5", "6", "7", "8"]', 'for k in ["5", "6"]'
    )
    answer = ask(
        Scripted(two.format(dy=0, extra="pass")), build(seen, "multi_stage"), seen, Requirements(), Folder(tmp_path)
    )
    assert any("only 2 of the keypoints of left_shoe" in note for note in answer.notes)
    bent = PUSH.format(dy=0, extra="kp['5'] = kp['5'] + np.array([0.03, 0, 0])")
    answer = ask(Scripted(bent), build(seen, "multi_stage"), seen, Requirements(), Folder(tmp_path))
    assert any("cm off a rigid motion; the nearest one is used" in note for note in answer.notes)


def test_the_annotated_backend_changes_its_plan_when_refused_and_never_says_done_too_early(seen):
    task = load_task("shoe_rack")
    vlm = AnnotatedVLM.of_task(task, 0)
    request = build(seen, "multi_stage")
    first = vlm.complete(request).text
    second = vlm.complete(request.followed_by(first, "no")).text
    assert "shoe_box" in first and "left_shoe" in second
    for text in (first, second, vlm.complete(request.followed_by(first, "no").followed_by(second, "no")).text):
        request = request.followed_by(text, "no")
    assert vlm.complete(request).text == first, "everything was refused: say it again rather than done"


def test_a_task_without_programs_for_the_contract_is_told():
    from dataclasses import replace

    task = load_task("shoe_push")
    stage = task.configuration(0).stages[0]
    bare = replace(task.configuration(0), stages=(replace(stage, programs={"keypoints": "x"}),))
    with pytest.raises(ValueError, match="stage 1 of shoe_push has no annotated program for the poses contract"):
        AnnotatedVLM.of_task(replace(task, configurations=(bare,)), 0, "poses")


class Quiet:
    def stage(self, number, text): ...
    def learning(self, row): ...
    def outcome(self, record): ...
    def note(self, text): ...


def test_the_pose_contract_goes_through_the_whole_loop(tmp_path):
    config = make_config(("run.video=false", "run.contract=poses"), learner="waypoint")
    result = run_task(config, Folder(tmp_path), Quiet())
    assert result.success, result.reason
    moved = [s.object for s in result.stages if s.ok]  # a miss may be tried again
    assert moved == ["shoe_box", "left_shoe", "right_shoe"]
    assert "get_final_poses" in (tmp_path / "stage_01" / "program.py").read_text()
    assert json.loads((tmp_path / "stage_01" / "goal.json").read_text())["raw_targets_m"] == {}


def test_a_single_stage_run_ends_with_its_stage(tmp_path):
    config = make_config(("run.video=false", "prompt=single_stage"), learner="waypoint", task="shoe_push")
    result = run_task(config, Folder(tmp_path), Quiet())
    assert result.success and len(result.stages) == 1 and not (tmp_path / "stage_02").exists()


def test_poses_are_given_as_six_numbers(rack_scene):
    poses = object_poses(rack_scene)
    assert list(poses) == ["rack", "shoe_box", "left_shoe", "right_shoe"]
    assert poses["left_shoe"] == pytest.approx((0.335, 0.17, 0.045, 0, 0, 0))
