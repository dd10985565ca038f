"""VoxPoser: programs of value maps, the maps, the planner, and whole runs in the simulated world."""

import json

import numpy as np
import pytest

from iker_agent.config import make_config
from iker_agent.plan import make_plan
from iker_agent.program import run_program
from iker_agent.records.run_folder import Folder
from iker_agent.vlm.types import Reply
from iker_agent.voxposer.acts import Carry, Push, acts_of
from iker_agent.voxposer.asking import object_boxes
from iker_agent.voxposer.baseline import carry_out_value_maps
from iker_agent.voxposer.maps import VoxelGrid, value_at
from iker_agent.voxposer.movements import Movement, Region, movement_signature
from iker_agent.voxposer.planner import NoTarget, plan_path
from iker_agent.voxposer.plans import AnnotatedMaps, plan_of
from iker_agent.voxposer.prelude import with_prelude
from iker_agent.voxposer.pushing import MAX_PUSH_M, next_push
from iker_envs.geometry import pose_apply
from iker_envs.task import load_task

HEAD = "def compose_value_maps(object_boxes):\n    "
DOWN = (0.0, 0.0, -1.0, 0.0, 1.0, 0.0)


class Silent:
    """A display that remembers notes."""

    def __init__(self):
        self.notes = []

    def stage(self, number, text): ...
    def learning(self, row): ...
    def outcome(self, record): ...
    def note(self, text):
        self.notes.append(text)


class Says:
    """A backend that answers with given programs, in order."""

    corrects = True

    def __init__(self, *programs):
        self.programs = list(programs)
        self.asked = []

    def complete(self, request):
        self.asked.append(request)
        return Reply(f"```python\n{self.programs.pop(0)}\n```", "test")


@pytest.fixture(scope="module")
def scene():
    return load_task("shoe_rack").sample(None)


def run(body: str, scene):
    signature = movement_signature()
    return run_program(with_prelude(HEAD + body), object_boxes(scene), signature), signature.movements


def point(x, y, z):
    return (Region("point", (x, y, z), (1.0,)),)


def test_a_program_composes_maps_in_the_sandbox(scene):
    body = """box = np.array(object_boxes["shoe_box"])
    front, left, up = axes_of(box)
    target = ValueMap().set_point(box[:3] + 0.1 * left)
    turned = ValueMap().set_all((-up, left))
    closed = ValueMap().set_sphere(box[:3], 0.03, 0)
    return [move("gripper", affordance=target, rotation=turned, gripper=closed)]"""
    result, movements = run(body, scene)
    assert result.status == "ok", result.message
    assert [m.movable for m in movements] == ["gripper"]
    assert movements[0].affordance[0].numbers == pytest.approx((0.65, 0.1, 0.155))
    assert movements[0].rotation[0].value == pytest.approx((0, 0, -1, 0, 1, 0))
    assert movements[0].gripper[0].value == (0.0,)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("return []", "returns a list of movements"),
        ("return None", "returns a list of movements"),
        ('return [move("cup", affordance=ValueMap().set_all())]', "there is no 'cup' to move"),
        ('return [move("gripper")]', "an affordance above 0 somewhere"),
        ('return [move("gripper", affordance=ValueMap().set_point((0, 0)))]', "its places are points"),
        ('return [move("gripper", affordance=ValueMap().set_point((np.nan, 0, 0)))]', "not finite"),
        ('return [move("gripper", affordance=ValueMap().set_point((50, 0, 0)))]', "lengths are in metres"),
        ('return [move("gripper", affordance=ValueMap().set_all(), rotation=ValueMap().set_all(3))]', "two vectors"),
        ('return [move("gripper", affordance=ValueMap().set_all())] * 21', "at most 20"),
        ('import os\n    return os.listdir("/")', "os"),
        ('return open("/etc/passwd").read()', "open"),
        ('return object_boxes["nothing"]', "KeyError"),
    ],
)
def test_a_program_that_cannot_be_used_is_refused_with_its_reason(scene, body, reason):
    result, _ = run(body, scene)
    assert result.status in ("refused", "error", "invalid")
    assert reason in result.message


def test_a_line_number_is_that_of_the_program_that_was_written(scene):
    result, _ = run("\n    return undefined_name", scene)
    assert result.message.startswith("line 3: NameError")


def test_a_later_region_wins_where_two_overlap(scene):
    grid = VoxelGrid.over(scene)
    box = Region("box", (0.3, -0.1, 0.0, 0.5, 0.1, 0.2), (1.0,))
    ball = Region("sphere", (0.4, 0.0, 0.1, 0.05), (0.25,))
    values = grid.map_of((box, ball))
    at = {p: values[tuple(grid.index(np.array(p)))] for p in ((0.4, 0.0, 0.1), (0.32, 0.05, 0.05), (0.6, 0.3, 0.1))}
    assert list(at.values()) == [0.25, 1.0, 0.0]
    assert value_at((box, ball), np.array([0.4, 0.0, 0.1])) == (0.25,)
    assert value_at((ball, box), np.array([0.4, 0.0, 0.1])) == (1.0,)
    assert value_at((ball,), np.array([0.6, 0.0, 0.1])) is None


def test_obstacles_are_the_voxels_of_the_objects_without_those_left_out(scene):
    grid = VoxelGrid.over(scene)
    centre = tuple(grid.index(scene.object("shoe_box").pose[:3]))
    assert grid.obstacles(scene)[centre]
    assert not grid.obstacles(scene, without=("shoe_box",))[centre]


def test_a_path_ends_at_the_target_and_keeps_off_what_is_in_between(scene):
    grid = VoxelGrid.over(scene)
    wall = (Region("box", (0.42, -0.14, 0.0, 0.46, 0.04, 0.45), (1.0,)),)
    nothing = np.zeros((100, 100, 100), dtype=bool)
    start = np.array([0.25, 0.0, 0.2])
    free = plan_path(grid, Movement("gripper", point(0.65, 0.0, 0.2)), start, nothing)
    around = plan_path(grid, Movement("gripper", point(0.65, 0.0, 0.2), avoidance=wall), start, nothing)
    assert free[-1] == pytest.approx([0.65, 0.0, 0.2], abs=0.006)
    assert around[-1] == pytest.approx([0.65, 0.0, 0.2], abs=0.006)
    assert np.abs(free[:, 1]).max() < 0.03
    assert around[:, 1].max() > 0.06  # on the side that is nearer
    assert np.linalg.norm(np.diff(free, axis=0), axis=1).max() <= 0.031


@pytest.mark.parametrize("place", [(0.65, 0.0, 0.9), (1.5, 0.0, 0.2)])
def test_an_affordance_outside_the_maps_is_no_target(scene, place):
    grid = VoxelGrid.over(scene)
    with pytest.raises(NoTarget, match="outside the maps"):
        plan_path(grid, Movement("gripper", point(*place)), np.array([0.4, 0, 0.3]), grid.obstacles(scene))


def test_closing_and_opening_fingers_make_a_carry_that_ends_where_the_hand_leads(scene):
    shoe = scene.object("left_shoe")
    grip = pose_apply(shoe.pose, np.array([[-0.06, 0.0, 0.02]]))[0]
    turn = (Region("all", (), DOWN),)
    closed = (Region("sphere", (*grip, 0.03), (0.0,)),)
    opened = (Region("all", (), (1.0,)),)
    place = (0.58, 0.1, 0.2)
    (act,) = acts_of(
        scene,
        [
            Movement("gripper", point(*grip), rotation=turn, gripper=closed),
            Movement("gripper", point(*place), rotation=turn, gripper=opened),
        ],
    )
    assert isinstance(act, Carry)
    assert act.object == "left_shoe"
    assert act.grasp.width_m == pytest.approx(0.062, abs=0.002)
    assert act.waypoints[-1].pose[:3] == pytest.approx(place, abs=0.006)
    assert act.target_pose[:3] == pytest.approx(np.add(place, (0.06, 0.0, -0.02)), abs=0.008)
    assert act.target_pose[3:] == pytest.approx([1, 0, 0, 0], abs=0.02)


@pytest.mark.parametrize(
    ("movements", "reason"),
    [
        ([Movement("gripper", point(0.3, 0.0, 0.3), gripper=(Region("all", (), (0.0,)),))], "close on nothing"),
        ([Movement("gripper", point(0.3, 0.0, 0.3))], "nothing would move"),
        ([Movement("rack", point(0.5, 0.0, 0.05))], "furniture"),
        ([Movement("gripper", point(0.65, 0.0, 0.2), gripper=(Region("all", (), (0.0,)),))], "the fingers open 8.5 cm"),
    ],
)
def test_what_a_hand_cannot_do_is_said_in_one_sentence(scene, movements, reason):
    with pytest.raises(NoTarget, match=reason):
        acts_of(scene, movements)


def test_pushes_follow_the_path_from_behind_and_end_at_its_end(scene):
    (act,) = acts_of(scene, [Movement("shoe_box", point(0.65, 0.2, 0.15))])
    assert isinstance(act, Push)
    pushes = 0
    while (waypoints := next_push(scene, act)) is not None:
        centre = scene.object("shoe_box").pose[:2]
        contact, end = waypoints[1].pose[:2], waypoints[2].pose[:2]
        moved = end - contact - 0.05 * (end - contact) / np.linalg.norm(end - contact)
        assert np.linalg.norm(moved) <= MAX_PUSH_M + 1e-9
        assert (centre - contact) @ (end - contact) > 0  # from behind
        pose = np.array(scene.object("shoe_box").pose)
        pose[:2] += moved
        scene = scene.with_poses({"shoe_box": pose})
        pushes += 1
    assert pushes == 3
    assert scene.object("shoe_box").pose[:2] == pytest.approx([0.65, 0.2], abs=0.012)


@pytest.mark.parametrize("name", ["shoe_rack", "book_stow"])
def test_annotated_programs_lead_to_the_annotated_places(name):
    task = load_task(name)
    for index in (0, 4, 7):  # both sides of the rack, both racks
        scene = task.sample(np.random.default_rng(index), index)
        for number, step in enumerate(plan_of(task, index)):
            goal = task.goal(number, scene, index)
            signature = movement_signature()
            result = run_program(with_prelude(step.program), object_boxes(scene), signature)
            assert result.status == "ok", (index, number, result.message)
            act = acts_of(scene, signature.movements)[-1]
            assert act.object == goal.object
            assert act.target_pose[:2] == pytest.approx(goal.target_pose[:2], abs=0.02), (index, number)
            scene = scene.with_poses({goal.object: goal.target_pose})


def make_run(tmp_path, vlm=None, *settings, **top):
    plan = make_plan(make_config(["run.video=false", *settings], task="shoe_rack", method="voxposer", **top))
    display = Silent()
    vlm = vlm or AnnotatedMaps(plan_of(plan.task, plan.configuration))
    result = carry_out_value_maps(plan, Folder(tmp_path / "run"), display, vlm)
    return result, json.loads((tmp_path / "run" / "run.json").read_text()), display


def test_a_run_does_the_whole_chain_by_the_tasks_own_success_and_leaves_its_records(tmp_path):
    result, record, _ = make_run(tmp_path)
    assert result.success
    assert record["success"]
    assert record["config"]["method"] == "voxposer"
    assert [s["action"] for s in record["stages"]] == [
        "push shoe_box",
        "grasp and place left_shoe",
        "grasp and place right_shoe",
    ]
    for number in (1, 2, 3):
        stage = tmp_path / "run" / f"stage_0{number}"
        assert {p.name for p in stage.iterdir()} >= {"prompt.md", "reply.md", "program.py", "view.png", "outcome.json"}
    assert "Plan:" in (tmp_path / "run" / "stage_02" / "prompt.md").read_text()


def test_a_stage_whose_answers_cannot_be_used_fails_and_the_plan_goes_on(tmp_path):
    wrong = HEAD + 'return [move("rack", affordance=ValueMap().set_all())]'
    vlm = Says(*[wrong] * 6)
    result, record, display = make_run(tmp_path, vlm, "run.repairs=1")
    assert not result.success
    assert result.unmet
    assert [s["failed"] for s in record["stages"]] == ["answer"] * 3
    assert len(vlm.asked) == 6
    assert "furniture" in vlm.asked[1].messages[-1].parts[0].text
    assert sum("refused" in note for note in display.notes) == 6


def test_a_task_without_a_plan_is_refused():
    with pytest.raises(ValueError, match="none is written for shoe_push"):
        plan_of(load_task("shoe_push"), 0)
