"""Success is measured rightly: doing nothing and doing anything do not solve a task, and nonsense is not strict."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest

import iker_envs
from iker_agent.learning.evaluate import evaluate
from iker_agent.learning.waypoint import WaypointLearner
from iker_envs.geometry import pose_compose, quaternion_from_rotvec
from iker_envs.sim import WorldReset
from iker_envs.spec import Spec

TASKS = tuple(iker_envs.TASKS.values())


class Blind:
    """A policy that does not look."""

    spec = Spec()

    def __init__(self, scale: float) -> None:
        self.scale = scale
        self.rng = np.random.default_rng(0)

    def act(self, observations: np.ndarray) -> np.ndarray:
        return self.scale * self.rng.uniform(-1, 1, (len(observations), 6)).astype(np.float32)


def solved(task: str, scale: float, episodes: int) -> tuple[float, float]:
    result = evaluate(Blind(scale), num_envs=episodes, seed=11, task=task)
    return result.success_rate, result.success_rate_strict


@pytest.mark.parametrize("task", TASKS)
def test_doing_nothing_does_not_succeed(task):
    assert solved(task, 0.0, 24)[0] == 0.0


@pytest.mark.parametrize("task", TASKS)
def test_doing_anything_hardly_succeeds(task):
    assert solved(task, 1.0, 24)[0] == 0.0


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_doing_nothing_solves_none_of_1280(task):
    assert solved(task, 0.0, 1280) == (0.0, 0.0)


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_doing_anything_solves_at_most_one_percent(task):
    assert max(solved(task, 1.0, 1280)) <= 0.01


TURNS = {
    "upright": ((0.0, 0.0, 0.0), True),
    "on its side": ((np.pi / 2, 0.0, 0.0), False),
    "on its other side": ((-np.pi / 2, 0.0, 0.0), False),
    "upside down": ((np.pi, 0.0, 0.0), False),
    "turned by 30 degrees": ((0.0, 0.0, np.deg2rad(30)), False),
    "the wrong way round": ((0.0, 0.0, np.pi), False),
}


@pytest.mark.parametrize(("turn", "right"), TURNS.values(), ids=TURNS)
def test_a_shoe_at_its_target_but_turned_is_never_strict(turn, right):
    env = gym.make("IKER-ShoePush-v0", randomisation="off").unwrapped
    env.reset(seed=0)
    stage = env.worlds
    index = stage.sim.objects.index("left_shoe")
    turned = pose_compose(env.goal.target_pose, np.array([0.0, 0, 0, *quaternion_from_rotvec(np.array(turn))]))
    turned[2] = 0.05 + 0.01 * bool(turn[0])
    state = stage.sim.state()
    poses = state.object_pose.copy()
    poses[0, index] = turned
    hand = state.gripper_pose.copy()
    hand[:, :3] = [0.25, 0.35, 0.2]
    stage.sim.reset(np.arange(1), WorldReset(hand, np.zeros(1), poses, np.zeros(1)))
    outcome = env.finish()
    assert outcome.success_strict == right
    assert outcome.success or not right
    env.close()


@pytest.mark.parametrize("num_envs", [48, pytest.param(256, marks=pytest.mark.slow)])
def test_welded_neighbours_do_not_make_a_task_easier(num_envs):
    rates = []
    for free in ("near", "all"):
        env = gym.make("IKER-ShoeRack-v0").unwrapped
        env.reset(seed=0)
        policy = WaypointLearner().learn(env.scene, env.goal).policy
        env.close()
        rates.append(evaluate(policy, num_envs=num_envs, seed=5, task="shoe_rack", free=free).success_rate_strict)
    assert abs(rates[0] - rates[1]) <= 0.03 and rates[0] > 0.7
