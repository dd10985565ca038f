"""Items of the benchmark: an answer is judged by where its goals end, whoever gives it and in whatever order."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from iker_agent.config import make_config
from iker_agent.experiments import stills
from iker_agent.experiments.bench_rows import ROWS, BenchRow, RowFile
from iker_agent.experiments.bench_tables import by_skill, results, summarise
from iker_agent.experiments.carrying_out import carry_out
from iker_agent.experiments.executing import as_drawn
from iker_agent.experiments.items import Item, load_items
from iker_agent.experiments.vlm_bench import Bench, BenchPlan
from iker_agent.records.run_folder import Folder
from iker_agent.vlm.errors import ReplayMiss, VLMUnavailable
from iker_agent.vlm.types import Reply
from iker_envs.documents import yaml_text
from iker_envs.scene import Goal
from iker_envs.task import load_task

RACK_Z = 0.137  # centre of a shoe that stands on the rack
ITEMS = {
    "objects": {
        "rack": {"model": "low_rack", "position_m": [0.62, 0.0, 0.0], "movable": False},
        "left_shoe": {"model": "sneaker_left", "position_m": [0.34, 0.17, 0.0], "yaw_deg": 0},
        "right_shoe": {"model": "sneaker_right", "position_m": [0.34, -0.17, 0.0], "yaw_deg": 0},
    },
    "items": [
        {
            "name": "both",
            "tier": "hard",
            "skills": ["planning"],
            "instruction": "Put the shoes on the rack",
            "success": "on(left_shoe, rack) and on(right_shoe, rack) and clear_of(left_shoe, right_shoe)",
            "solutions": [
                {
                    "left_shoe": {"on": "rack", "at_m": [0.61, 0.08]},
                    "right_shoe": {"on": "rack", "at_m": [0.61, -0.08]},
                }
            ],
        },
        {
            "name": "only_left",
            "tier": "hard",
            "skills": ["grounding", "relation"],
            "instruction": "Put the left shoe on the rack and leave the other one",
            "success": "on(left_shoe, rack) and unmoved(right_shoe)",
            "solutions": [{"left_shoe": {"on": "rack", "at_m": [0.61, 0.08]}}],
        },
        {
            "name": "either",
            "tier": "hard",
            "skills": ["grounding"],
            "instruction": "Put the left shoe, or the other one, on the rack",
            "success": "on(left_shoe, rack) or on(right_shoe, rack)",
            "solutions": [{"left_shoe": {"on": "rack", "at_m": [0.61, 0.08]}}],
        },
        {
            "name": "apart",
            "tier": "hard",
            "skills": ["done"],
            "instruction": "The shoes should be apart",
            "expects": "done",
            "success": "clear_of(left_shoe, right_shoe, gap_m=0.05)",
        },
        {
            "name": "into_the_cup",
            "tier": "hard",
            "skills": ["refusal"],
            "instruction": "Put the shoes into the cup",
            "expects": "impossible",
        },
    ],
}


def put(name: str, x: float, y: float, z: float = RACK_Z, *, grasp: bool = True) -> str:
    return f"poses[{name!r}] = [{x}, {y}, {z}, 0, 0, 0]\n    return {name!r}, {grasp}, poses"


LEFT = put("left_shoe", 0.61, 0.08)
RIGHT = put("right_shoe", 0.61, -0.08)
BACK = put("right_shoe", 0.34, -0.17, 0.042)
ASIDE = put("left_shoe", 0.4, 0.22, 0.042, grasp=False)
AWAY = put("left_shoe", 0.4, 0.22, 0.042)
NUDGE = put("left_shoe", 0.36, 0.17, 0.042, grasp=False)
DONE = "return None"
NEVER = "return 'impossible: there is no cup'"
NOTHING = "return 'hm'"


def reply(body: str) -> Reply:
    return Reply(f"```python\ndef get_final_poses(poses):\n    {body}\n```", "scripted", seconds=0.5)


class Scripted:
    """A backend that answers by a list, and then has nothing left."""

    def __init__(self, *bodies: str) -> None:
        self.bodies = iter(bodies)
        self.requests = []

    def complete(self, request):
        self.requests.append(request)
        body = next(self.bodies, None)
        if body is None:
            raise ReplayMiss("the script has no answers left")
        if body == "down":
            raise VLMUnavailable("the server is down")
        return reply(body)


@pytest.fixture(autouse=True)
def quick(monkeypatch, blank_view):
    monkeypatch.setattr(stills, "still_view", lambda scene, cameras, size: blank_view(scene))


@pytest.fixture(scope="module")
def items(tmp_path_factory) -> dict[str, Item]:
    folder = tmp_path_factory.mktemp("items")
    (folder / "own.yaml").write_text(yaml_text(ITEMS), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IKER_ITEMS", str(folder))
        names = [entry["name"] for entry in ITEMS["items"]]
        return {item.name: item for item in load_items("hard") if item.name in names}


def plan_of(*items: Item, settings=(), **fields) -> BenchPlan:
    config = make_config(("run.repairs=1", "run.max_stages=4", "ask.max_calls=0", *settings), vlm="replay")
    return BenchPlan(items, ("poses",), config, **fields)


def answered(folder, plan: BenchPlan, vlm) -> list[BenchRow]:
    return list(Bench(plan, Folder(folder), RowFile(Folder(folder)), vlm).rows())


CASES = [
    ("both", (LEFT, RIGHT, DONE), True, ""),
    ("both", (RIGHT, LEFT, DONE), True, ""),  # another good order
    ("both", (RIGHT, LEFT), True, ""),  # and no word about it
    ("both", (RIGHT, LEFT, LEFT, LEFT), True, ""),  # which has nothing left to move
    ("both", (ASIDE, LEFT, RIGHT, DONE), True, ""),  # an object moved twice
    ("both", (LEFT, RIGHT, AWAY, DONE), False, "left_shoe is not on rack"),  # and from where it should be
    ("both", (LEFT, DONE), False, "said done too early: right_shoe is not on rack"),
    ("both", (DONE,), False, "said done too early"),
    ("both", (NEVER,), False, "said that it cannot be done: there is no cup"),
    ("both", (LEFT, RIGHT, NEVER), False, "said that it cannot be done"),
    ("both", (NOTHING, NOTHING), False, "no usable program after 2 answers"),
    ("both", (ASIDE, NUDGE, ASIDE, NUDGE), False, "all 4 stages are used (run.max_stages)"),
    ("only_left", (LEFT, DONE), True, ""),
    ("only_left", (RIGHT, DONE), False, "left_shoe is not on rack"),
    ("only_left", (LEFT, RIGHT, DONE), False, "right_shoe has moved"),
    ("only_left", (RIGHT, BACK, LEFT, DONE), True, ""),  # put back where it was
    ("either", (RIGHT, DONE), True, ""),  # not the annotated one, and as good
    ("apart", (DONE,), True, ""),
    ("apart", (NUDGE, DONE), False, "moved left_shoe, where all is fulfilled as it is"),
    ("apart", (NEVER,), False, "said that it cannot be done: there is no cup, where all is fulfilled as it is"),
    ("apart", (NOTHING, NOTHING), False, "where all is fulfilled as it is"),
    ("into_the_cup", (NEVER,), True, ""),
    ("into_the_cup", (DONE,), False, "said done, where it cannot be done"),
    ("into_the_cup", (LEFT, DONE), False, "moved left_shoe; said done, where it cannot be done"),
    ("into_the_cup", (LEFT, NEVER), False, "moved left_shoe; said that it cannot be done"),
    ("into_the_cup", (NOTHING, NOTHING), False, "no usable program after 2 answers"),
]


@pytest.mark.parametrize(("name", "bodies", "right", "reason"), CASES)
def test_an_answer_is_judged_by_where_it_ends(name, bodies, right, reason, items, tmp_path):
    (row,) = answered(tmp_path, plan_of(items[name]), Scripted(*bodies))
    assert row.right == right and reason in row.reason, row
    assert (row.tier, row.item, row.sample, row.contract) == ("hard", name, 0, "poses")


def test_a_goal_after_a_repair_is_right_and_no_first_answer(items, tmp_path):
    vlm = Scripted(NOTHING, LEFT, DONE)
    (row,) = answered(tmp_path, plan_of(items["only_left"]), vlm)
    assert row.right and not row.first and row.answers == 2 and row.cost.calls == 3
    assert row.cost.seconds == pytest.approx(1.5) and row.stage == 2
    history = "\n".join(part.text for part in vlm.requests[2].messages[0].parts)
    assert "## Earlier stage 1" in history and "This stage succeeded" in history and "left_shoe" in history


def test_what_is_put_over_an_edge_falls_and_what_rests_stays(items):
    scene = items["both"].scene()
    rack_front = scene.object("rack").pose[0] - scene.object("rack").model.size_m[0] / 2
    over = np.array([rack_front - 0.09, 0.1, RACK_Z, 1, 0, 0, 0])
    fallen = carry_out(scene, Goal("left_shoe", over, True))
    assert fallen.scene.object("left_shoe").pose[2] < RACK_Z - 0.02 and not fallen.outcome.success_strict
    put_down = carry_out(scene, Goal("left_shoe", np.array([0.61, 0.08, RACK_Z + 0.02, 1, 0, 0, 0]), True))
    assert put_down.outcome.success_strict
    assert np.allclose(put_down.scene.object("right_shoe").pose, scene.object("right_shoe").pose, atol=2e-3)


def test_every_item_is_answered_by_its_annotation(items, tmp_path):
    config = make_config(("run.repairs=0",))
    plan = BenchPlan(tuple(items.values()), ("keypoints", "poses"), config)
    rows = answered(tmp_path, plan, None)
    assert len(rows) == 10 and all(row.first for row in rows), [row.reason for row in rows if not row.first]
    lines = {line.contract: line for line in summarise(rows)}
    assert (lines["poses"].task, lines["poses"].tier, lines["poses"].asked) == ("all", "hard", 5)
    skills = {(line.contract, line.task): line.asked for line in by_skill(rows)}
    assert skills["poses", "grounding"] == 2 and skills["keypoints", "refusal"] == 1


# ------------------------------------------------------------------------------- a model that always answers the same

SAME = {
    "a shoe onto the rack": LEFT,
    "a shift of whatever is first": (
        "name = next(iter(poses))\n    poses[name][1] = poses[name][1] - 0.1\n    return name, False, poses"
    ),
}


@pytest.mark.parametrize("kind", SAME)
def test_a_model_that_always_answers_the_same_program_is_near_zero_on_hard(kind, tmp_path):
    hard = load_items("hard")
    if not hard:
        pytest.skip("no hard items are shipped")
    rows = answered(tmp_path, plan_of(*hard[::4], settings=("run.repairs=0",)), Scripted(*[SAME[kind]] * 1000))
    assert len(rows) == len(hard[::4]) and sum(row.right for row in rows) <= 0.1 * len(rows)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [*SAME, "done", "impossible"])
def test_no_constant_answer_does_for_hard(kind, tmp_path):
    hard = load_items("hard")
    body = {**SAME, "done": DONE, "impossible": NEVER}[kind]
    rows = answered(tmp_path, plan_of(*hard, settings=("run.repairs=0",)), Scripted(*[body] * 1000))
    of_its_own = {"done": "done", "impossible": "impossible"}.get(kind)
    assert sum(row.right for row in rows) <= 0.05 * len(rows) + sum(item.expects == of_its_own for item in hard)


# ------------------------------------------------------------------------------- stopped, and continued


def test_a_benchmark_that_was_stopped_asks_only_for_what_is_missing(items, tmp_path, caplog):
    chosen = [items["only_left"], items["apart"], items["into_the_cup"]]
    plan = plan_of(*chosen)
    folder = Folder(tmp_path)
    with pytest.raises(VLMUnavailable):
        list(Bench(plan, folder, RowFile(folder), Scripted(LEFT, DONE, "down")).rows())
    path = tmp_path / ROWS
    path.write_text(path.read_text() + '{"task": "cut in the mid', encoding="utf-8")
    file = RowFile(folder)
    assert [row.item for row in file.rows] == ["only_left"]
    assert f"line 2 of {path} is left out, and asked for again" in caplog.text
    vlm = Scripted(DONE, NEVER)
    again = list(Bench(plan, folder, file, vlm).rows())
    assert [row.item for row in again] == ["apart", "into_the_cup"] and all(row.right for row in again)
    assert len(vlm.requests) == 2
    assert [json.loads(line)["item"] for line in path.read_text().splitlines()] == [item.name for item in chosen]
    assert list(Bench(plan, folder, RowFile(folder), Scripted()).rows()) == []


def test_samples_are_rows_of_their_own_and_results_say_what_they_are_of(items, tmp_path):
    plan = plan_of(items["apart"], samples=3)
    rows = answered(tmp_path, plan, Scripted(*[DONE] * 3))
    assert [row.sample for row in rows] == [0, 1, 2]
    content = results(rows, plan)
    assert (content["questions"], content["answered"], content["samples"]) == (3, 3, 3)
    assert {"benchmark", "version", "spec_hash", "config_hash", "seed", "digest"} <= set(content)
    assert set(content["conditions"]["prompts"]) == {"poses"} and set(content["items"]["hard"]) == {"apart"}
    row = content["rows"][0]
    assert BenchRow.from_dict(json.loads(json.dumps(row))) == rows[0]


def test_a_question_that_a_record_does_not_have_is_told_and_the_rest_is_asked(items, tmp_path):
    plan = plan_of(items["both"], items["apart"])
    bench = Bench(plan, Folder(tmp_path), RowFile(Folder(tmp_path)), Scripted(LEFT))
    (row,) = bench.rows()
    assert not row.right and "the script has no answers left" in row.reason  # after what it has, it says nothing
    assert [key[1] for key in bench.unanswered] == ["apart"]


def test_hashes_change_with_what_is_asked_and_not_with_how_it_is_solved(items):
    from iker_agent.experiments.conditions import item_hash

    item = items["both"]
    other = replace(item, solutions=(), wrongs={"mirrored": {}})
    assert item_hash(other) == item_hash(item)
    chosen = item.task.configuration(0)
    for change in ({"instruction": "Put them away"}, {"success": "on(left_shoe, rack)"}):
        task = replace(item.task, configurations=(replace(chosen, **change),))
        assert item_hash(replace(item, task=task)) != item_hash(item)
    assert len({item_hash(one) for one in items.values()}) == len(items)


# ------------------------------------------------------------------------------------------------ carried out


def test_a_world_of_its_own_begins_as_the_question_did():
    task = load_task("shoe_rack")
    for seed, sample in ((0, 0), (7, 2)):
        drawn = task.sample(np.random.default_rng([seed, sample]), 3)
        here = as_drawn(task, 3, seed, sample).sample(np.random.default_rng(1), 3)
        for obj in drawn.objects:
            assert np.allclose(here.object(obj.name).pose, obj.pose, atol=1e-9)


def test_right_answers_are_carried_out_by_a_policy_and_judged_there(items, tmp_path):
    plan = plan_of(items["only_left"], items["apart"], settings=("learner=waypoint", "run.act_above=0"), execute=True)
    moved, done = answered(tmp_path, plan, Scripted(LEFT, DONE, DONE))
    assert moved.right and moved.executed is not None and done.executed is None
    assert moved.executed == (moved.execution == ""), moved
    run = json.loads((tmp_path / "executed" / "hard_only_left_0_sample0_poses" / "run.json").read_text())
    assert run["success"] == moved.executed and run["stages"][0]["object"] == "left_shoe"
    assert (run["criterion"], run["instruction"]) == (
        "(on(left_shoe, rack) and unmoved(right_shoe)) and (all_rest())",
        items["only_left"].instruction,
    )
