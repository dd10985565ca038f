"""Free moves of the arm: a way that touches nothing, from wherever the hand is."""

import numpy as np
import pytest

from iker_envs.geometry import pose_compose
from iker_envs.planning.grasps import propose_grasps
from iker_envs.planning.hand import MAX_OPENING_M
from iker_envs.planning.push import push_start
from iker_envs.scene import HOME_GRIPPER_QUATERNION
from iker_envs.task import load_task
from real_env.config import RealConfig
from real_env.faults import Kind, RobotFault

pytest.importorskip("mink", reason="these tests need mink: pip install 'iker[real]'")

from real_env.ik import HostIK, tool_pose
from real_env.planned import Cell, Planner

CONFIG = RealConfig.from_dict({"arm": {"ip": "192.168.1.200"}})
HOME = np.array(CONFIG.home_joints_rad)
LOOK = np.array(CONFIG.look_joints_rad)


def first_pose(scene, goal):
    """Where the hand begins, and its opening."""
    if not goal.grasp:
        return push_start(scene, goal), 0.0
    tcp = propose_grasps(scene, goal.object, goal.target_pose).grasps[0].tcp_pose
    return pose_compose(tcp, np.array([0, 0, -0.12, 1, 0, 0, 0])), MAX_OPENING_M


@pytest.mark.parametrize("name", ["shoe_push", "shoe_place", "book_push", "book_reorient", "shoe_rack"])
def test_a_free_way_leads_from_the_look_pose_to_every_beginning_and_back(name):
    task = load_task(name)
    planner = Planner(HostIK(), HOME)
    for index in (0, len(task.configurations) // 2):
        scene = task.sample(np.random.default_rng(index), index)
        pose, opening_m = first_pose(scene, task.goal(0, scene, index))
        there = planner.plan(LOOK, pose, scene, opening_m, is_pose=True)
        assert np.linalg.norm(tool_pose(there[-1])[:3] - pose[:3]) < 1e-3
        back = planner.plan(there[-1], LOOK, scene, opening_m, is_pose=False)
        assert np.abs(np.diff(back[:, 2])).max() < 0.03 and np.allclose(back[-1], LOOK, atol=0.02)
        cell = Cell(scene, HOME)
        for joints in there[::10]:
            assert not cell.touches(joints, opening_m)


# Far out, and leaning so that backing off leads farther out; the last one at the limit of its elbow, too.
STRETCHED = (
    HostIK().solve(np.array([0.70, 0.1, 0.03, *HOME_GRIPPER_QUATERNION])),
    np.array([0.32, 0.92, 0.06, 2.73, 0.06, 2.1, 3.41]),
    np.array([0.51, 1.24, -0.18, 2.75, -0.16, 2.07, 1.09]),
)


@pytest.mark.parametrize("joints", STRETCHED, ids=["far", "leaning", "bent"])
def test_a_hand_that_stretches_too_far_to_rise_is_drawn_in(joints):
    scene = load_task("book_reorient").sample(None)
    path = Planner(HostIK(), HOME).plan(joints, LOOK, scene, 0.0, is_pose=False)
    poses = np.array([tool_pose(row) for row in path])
    assert np.allclose(np.sin(path[-1] - LOOK), 0, atol=0.02)
    assert poses[:, 2].min() > tool_pose(joints)[2] - 0.003


def test_a_goal_inside_something_is_refused_with_what_is_in_the_way():
    scene = load_task("shoe_push").sample(None)
    shoe = scene.object(scene.movable[0])
    inside = np.array([*shoe.pose[:2], 0.03, *HOME_GRIPPER_QUATERNION])
    with pytest.raises(RobotFault, match=f"touches .*{shoe.name}") as caught:
        Planner(HostIK(), HOME).plan(LOOK, inside, scene, 0.0, is_pose=True)
    assert caught.value.kind is Kind.UNREACHABLE
