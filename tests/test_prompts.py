"""What the model is told: the rules of every prompt, history, repair turns, and the pose contract through the loop."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.resources import files

import numpy as np
import pytest

from iker_agent.asking.ask import NoAnswer, Requirements, ask
from iker_agent.asking.limits import standing_of
from iker_agent.asking.prompts import Turn, build_request, object_poses
from iker_agent.config import make_config
from iker_agent.loop import run_task
from iker_agent.program import extract_program
from iker_agent.prompt_kinds import PROMPTS, PromptSettings, prompt_kind
from iker_agent.records.run_folder import Folder
from iker_agent.seeing.keypoints import select_keypoints
from iker_agent.seeing.look import Look, see
from iker_agent.vlm.annotated import AnnotatedVLM
from iker_agent.vlm.errors import ReplayMiss, VLMEmpty, VLMTruncated
from iker_agent.vlm.openai_chat import chat_message
from iker_agent.vlm.record import Recorder
from iker_agent.vlm.replay import Replay
from iker_agent.vlm.types import Reply
from iker_envs.events import Event, EventKind
from iker_envs.pictures.still import still_view
from iker_envs.scene import Image, Outcome, View
from iker_envs.task import load_task
from tests.quiet_display import Quiet

MARKED = np.zeros((4, 4, 3), np.uint8)
FAILED = Outcome(False, False, 0.1, 0.0, 0.0, 0.0, reason="the keypoints are 10.0 cm off")


@pytest.fixture
def seen(rack_scene, blank_view) -> Look:
    return Look(rack_scene, select_keypoints(rack_scene, blank_view(rack_scene)), MARKED)


def texts(request) -> str:
    return "\n".join(part.text for message in request.messages for part in message.parts)


def build(seen: Look, name: str, history=(), **options):
    return build_request("Tidy up", seen, history, prompt=prompt_kind(name), **options)


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
    baselines = {"value_maps"}  # asked by a method of its own, which is no contract of the loop
    assert there == {name for kind in PROMPTS.values() for name in kind.files} | baselines


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


def test_history_tells_what_was_refused_a_line_each(seen):
    refused = Turn(MARKED, "a.png", "program one", FAILED, refusals=("it is too far", "it is too near"))
    nothing = Turn(MARKED, "b.png", "", note="no answer could be used", refusals=("no code",))
    told = texts(build(seen, "multi_stage", [refused, nothing]))
    assert "Answers that were refused in this stage:\n\n- it is too far\n- it is too near" in told
    assert "- no code\nThis stage was not carried out: no answer could be used." in told
    assert told.count("```python") == 2, "the template and the one program; an empty one is not shown"
    paper = make_config(preset="paper").prompt
    assert "it is too far" not in texts(build(seen, "multi_stage", [refused, nothing], shown=paper, outcomes=False))


LIMITS = (
    "shoe_box (keypoints 1 to 4), left_shoe (keypoints 5 to 8), right_shoe (keypoints 9 to 12)",
    "Furniture, which stays: rack (keypoints 13 to 18)",
    "x 0.20 to 0.75, y -0.45 to 0.45",
    "0.25 to 0.72 m over the table, 0.25 to 0.70 m over rack",
    "table z 0.000, rack z 0.100 (x 0.52 to 0.80, y -0.32 to 0.32)",
    "shoe_box cannot be grasped as it is (its narrowest side is 200 mm, the fingers hold 80 mm)",
    "left_shoe 0.5 cm",
    "within 20 degrees",
    "6 stages after this one; no missed stage may be tried again; 4 corrections",
    "off by up to 1.0 cm along each axis",
    "changes z by their difference",
    "is tried in simulation first",
)


def test_limits_are_told_from_the_scene(seen):
    standing = standing_of(make_config(), number=2, missed=2)
    told = " ".join(texts(build(seen, "multi_stage", standing=standing)).split())
    for words in LIMITS:
        assert words in told
    assert told.index("## Limits in this scene") < told.index("## Now")
    poses = " ".join(texts(build(seen, "poses", standing=standing)).split())
    assert "Objects that move: shoe_box, left_shoe, right_shoe. Furniture, which stays: rack." in poses
    assert "rigid motion" not in poses


def test_limits_follow_the_scene(seen):
    low = replace(seen.scene, workspace_m=np.array([[0.3, -0.2, 0.0], [0.5, 0.2, 0.4]]))
    bare = replace(low, objects=tuple(o for o in low.objects if o.movable))
    keypoints = select_keypoints(bare, _blank(bare))
    told = texts(build(Look(bare, keypoints, MARKED), "multi_stage"))
    assert "x 0.30 to 0.50, y -0.20 to 0.20" in told and "Surfaces: table z 0.000." in told
    assert "Furniture, which stays: none" in told and "What is left" not in told


def _blank(scene):
    camera = scene.cameras[0]
    size = (camera.height, camera.width)
    image = Image(np.zeros((*size, 3), np.uint8), np.zeros(size), camera.intrinsics(), camera.pose_world)
    return View({camera.name: image}, camera.name)


def test_a_grasp_from_the_front_has_a_reach_of_its_own(seen):
    slanted = replace(
        seen.scene, approach_axis=np.array([0.5**0.5, 0.0, -(0.5**0.5)]), approach_cone_rad=float(np.deg2rad(60))
    )
    told = texts(build(replace(seen, scene=slanted), "multi_stage"))
    assert "over rack with the hand pointing down; " in told and "with the hand pointing forward" in told


def test_numbers_that_are_not_drawn_are_told(seen):
    drawn = tuple(label not in ("6", "14") for label in seen.keypoints.labels)
    hidden = replace(seen, keypoints=replace(seen.keypoints, drawn=drawn))
    assert "no image shows" in texts(build(hidden, "multi_stage"))
    assert "another mark too near: 6, 14. They are in the dictionary" in texts(build(hidden, "multi_stage"))
    from_the_side = replace(hidden, side=MARKED, side_keypoints=replace(seen.keypoints, drawn=(True,) * len(drawn)))
    assert "no image shows" not in texts(build(from_the_side, "multi_stage"))


def test_coordinates_are_a_table_for_who_wants_one(seen):
    told = texts(build(seen, "multi_stage", shown=PromptSettings(coordinates=True)))
    assert "- 5 (left_shoe): 0.475, 0.170, 0.013" in told
    assert "- 5 (left_shoe)" not in texts(build(seen, "poses", shown=PromptSettings(coordinates=True)))


def test_the_paper_is_asked_as_in_the_paper(seen):
    told = texts(build(seen, "multi_stage", shown=make_config(preset="paper").prompt))
    assert "## Limits" not in told and told.endswith("## Now\n\nInstruction: Tidy up\n")


@pytest.mark.parametrize("size", ["640x480", "800x600"])
def test_a_second_view_is_asked_sent_recorded_and_replayed(tmp_path, size):
    scene = load_task("book_stow").sample(None)
    width, height = PromptSettings(size=size).size_px
    seen = see(scene, still_view(scene, scene.cameras, size=(width, height)), side=True)
    assert seen.marked.shape == seen.side.shape == (height, width, 3)
    assert not np.array_equal(seen.marked, seen.side) and len(seen.drawn) >= sum(seen.keypoints.drawn)
    request = build_request("Stow it", seen, prompt=prompt_kind("multi_stage"), image_name="../stage_01/marked.png")
    assert "![../stage_01/marked_side.png]" in request.markdown() and "from the side" in texts(request)
    sent = [part for part in chat_message(request.messages[0], "high")["content"] if part["type"] == "image_url"]
    assert len({part["image_url"]["url"] for part in sent}) == 2
    reply = Recorder(AnnotatedVLM.of_task(load_task("book_stow"), 0), tmp_path, {}).complete(request)
    assert len(list((tmp_path / "images").iterdir())) == 2
    assert Replay(tmp_path, "exact").complete(request).text == reply.text
    alone = replace(seen, side=None)
    with pytest.raises(ReplayMiss):
        Replay(tmp_path, "text").complete(build_request("Stow it", alone, prompt=prompt_kind("multi_stage")))


def test_a_world_without_a_side_camera_says_so(seen):
    with pytest.raises(ValueError, match="needs a camera called 'side'; the view has front"):
        see(seen.scene, _blank(seen.scene), side=True)


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
        "This stage failed: cup reached its target, but mug was moved by 4 cm to the left.",
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
    assert make_config((f"prompt={tmp_path / 'mine.md'}",)).prompt.name.endswith("mine.md")


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
