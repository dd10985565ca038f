"""The parts of a robot's host that need no robot: settings, kinematics, guard, set points."""

import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path as PathOf

import numpy as np
import pytest

from iker_envs.geometry import pose_compose, rotation_angle
from iker_envs.perception.tracking import GripperPose
from iker_envs.planning.fingertips import tip_corners, tops_of
from iker_envs.planning.hand import MAX_OPENING_M
from iker_envs.reach import reach_margin
from iker_envs.scene import HOME_GRIPPER_QUATERNION, upright_pose
from iker_envs.spec import Spec
from iker_envs.task import load_task
from real_env.config import RealConfig, load_config
from real_env.faults import RULES, Kind, RobotFault, fault_of_code
from real_env.safety import Guard, between

pytest.importorskip("mink", reason="these tests need mink: pip install 'iker[real]'")

from real_env.ik import MAX_ELBOW_RAD, HostIK, tool_pose
from real_env.stream import Line, Path, Stream

ARM = {"arm": {"ip": "192.168.1.200"}}
CONFIG = RealConfig.from_dict(ARM)
HOME = np.array(CONFIG.home_joints_rad)
LOOK = np.array(CONFIG.look_joints_rad)


# -- settings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("{}", "lacks arm"),
        ("arm: {ip: robot}", "arm.ip is an IPv4 address such as 192.168.1.200, not 'robot'"),
        ("arm: {ip: 1.2.3.4, port: 5}", "no field 'port'"),
        ("arm: {ip: 1.2.3.4}\nspeed: 3", "no field 'speed'"),
        ("arm: {ip: 1.2.3.4}\nclock: 0.5", "clock is 1 on a real robot, not 0.5"),
        ("arm: {ip: 1.2.3.4}\ncaps: {joint_step_rad: 0.1}", "caps.joint_step_rad is above 0 and at most 0.03, not 0.1"),
        ("arm: {ip: 1.2.3.4}\ncollision_sensitivity: 6", "from 0 to 5, not 6"),
        ("arm: {ip: 1.2.3.4}\nlook_joints_rad: [90, 0, 0, 0, 0, 0, 0]", "not 90; is it in degrees"),
        ("arm: {ip: 1.2.3.4}\nhome_joints_rad: [0, 0]", "has 7 angles, not 2"),
        ("arm: {ip: 1.2.3.4}\nposes: guess", "estimator or lab, not 'guess'"),
        ("arm: {ip: 1.2.3.4}\nposes: lab", "needs the key lab"),
        ("arm: {ip: 1.2.3.4}\nlab: {control_port: 1, token: a, host: 8.8.8.8}", "an address of this machine"),
        ("arm: {ip: 1.2.3.4}\ncameras: {front: {serial: 123}}", "of type str, not 123"),
        ('arm: {ip: 1.2.3.4}\ncameras: {front: {serial: "1"}}', "need the key calibration"),
        ('arm: {ip: 1.2.3.4}\ncameras: {a: {serial: "1"}}\ncalibration: c', "query_camera is one of a, not 'front'"),
        ("arm: {ip: 1.2.3.4}\nworkspace_m: [[1, 0, 0], [0, 1, 1]]", "low < high"),
        ("arm: {ip: 1.2.3.4}\nwatchdog_s: 0", "watchdog_s is a finite number above 0, not 0"),
    ],
    ids=lambda text: text.splitlines()[-1][:40],
)
def test_a_wrong_robot_yaml_names_file_key_value_and_limit(tmp_path, content, told):
    (tmp_path / "robot.yaml").write_text(content)
    with pytest.raises(ValueError, match=r"robot\.yaml") as caught:
        load_config(tmp_path / "robot.yaml")
    assert told in str(caught.value) and "RealConfig" not in str(caught.value)


def test_paths_in_robot_yaml_are_relative_to_it(tmp_path):
    text = 'arm: {ip: 1.2.3.4}\ncameras: {front: {serial: "1"}}\ncalibration: cell.json\n'
    (tmp_path / "robot.yaml").write_text(text)
    assert load_config(tmp_path / "robot.yaml").calibration == str(tmp_path / "cell.json")


def test_the_tool_stays_in_the_tasks_box_and_in_the_cells():
    task_m = np.array([[0.2, -0.4, 0.0], [0.8, 0.4, 0.5]])
    narrow = replace(CONFIG, workspace_m=np.array([[0.3, -1, 0.02], [1.0, 0.1, 0.4]]))
    assert np.allclose(narrow.workspace(task_m), [[0.3, -0.4, 0.02], [0.8, 0.1, 0.4]])
    elsewhere = replace(CONFIG, workspace_m=np.array([[-1, -1, 0], [-0.5, 1, 1.0]]))
    with pytest.raises(ValueError, match="nothing in common"):
        elsewhere.workspace(task_m)


@pytest.mark.parametrize(
    ("code", "kind"), [(1, Kind.EMERGENCY_STOP), (31, Kind.COLLISION), (60, Kind.SERVO_SPEED), (77, Kind.CONTROLLER)]
)
def test_every_error_code_has_a_kind_and_says_who_must_act(code, kind):
    fault = fault_of_code(code)
    assert fault.kind is kind and f"C{code}" in str(fault) and fault.fault.action
    assert fault.after_recovery().fault.recovered and not fault.after_recovery().fault.action


def test_the_guide_tells_every_fault_and_its_way_out():
    guide = (PathOf(__file__).parents[1] / "docs" / "robot.md").read_text(encoding="utf-8")
    rows = [line for line in guide.splitlines() if line.startswith("| `")]
    assert [row.split("`")[1] for row in rows] == [kind.value for kind in Kind]
    assert all(RULES[kind].what in row and RULES[kind].action in row for kind, row in zip(Kind, rows, strict=True))


# -- kinematics ------------------------------------------------------------------------------------------------------


def reachable_poses(count, rng):
    while count:
        turn = rng.uniform(-1.2, 1.2)
        position = rng.uniform([0.3, -0.4, 0.03], [0.7, 0.4, 0.35])
        pose = pose_compose(upright_pose(position, turn), np.array([0, 0, 0, *HOME_GRIPPER_QUATERNION]))
        if reach_margin(pose) > 0.02:
            count -= 1
            yield pose


def test_joints_from_nowhere_reach_the_pose_with_the_elbow_in():
    ik = HostIK()
    for pose in reachable_poses(40, np.random.default_rng(0)):
        joints = ik.solve(pose)
        assert joints is not None, pose
        assert np.linalg.norm(tool_pose(joints)[:3] - pose[:3]) < 1e-4
        assert rotation_angle(tool_pose(joints)[3:], pose[3:]) < 1e-3
        assert abs(joints[2]) < MAX_ELBOW_RAD


def test_a_line_is_followed_within_a_millimetre_and_the_elbow_stays_in():
    ik = HostIK()
    rng = np.random.default_rng(1)
    poses = list(reachable_poses(8, rng))
    joints = ik.solve(poses[0])
    ik.set_posture(joints)
    for start, goal in pairwise(poses):
        steps = int(
            np.ceil(max(np.linalg.norm(goal[:3] - start[:3]) / 0.003, rotation_angle(start[3:], goal[3:]) / 0.01))
        )
        for share in np.linspace(0, 1, steps + 1)[1:]:
            pose = between(start, goal, share)
            joints = ik.follow(pose, joints)
            assert np.linalg.norm(tool_pose(joints)[:3] - pose[:3]) < 1e-3
            assert abs(joints[2]) < 0.1
    assert ik.num_unsolved == 0


def test_a_pose_out_of_reach_moves_no_joint_beyond_its_limits():
    ik = HostIK()
    joints = HOME
    for _ in range(300):
        joints = ik.follow(np.array([2.0, 0, 0.3, *HOME_GRIPPER_QUATERNION]), joints)
    assert np.isfinite(joints).all() and tool_pose(joints)[0] > 0.5
    assert HostIK().solve(np.array([2.0, 0, 0.3, *HOME_GRIPPER_QUATERNION])) is None


# -- the guard -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def platform():
    """A scene with furniture whose top is above the table, and that top's pose and half sizes."""
    scene = load_task("book_push").sample(None)
    furniture = next(o for o in scene.objects if not o.movable)
    return scene, furniture.pose, furniture.model.size_m / 2


@pytest.mark.parametrize("opening_m", [0.0, MAX_OPENING_M])
@pytest.mark.parametrize("tilt_deg", [0, 25])
def test_tips_are_lifted_clear_of_table_and_furniture(platform, opening_m, tilt_deg):
    scene, pose, half = platform
    guard = Guard()
    guard.tops = tops_of(scene)
    top = pose[2] + half[2]
    for centre, floor in ((pose[:3], top), (np.array([pose[0] - half[0] - 0.2, 0.0, 0.0]), 0.0)):
        tilted = np.array([np.cos(np.deg2rad(tilt_deg) / 2), 0, np.sin(np.deg2rad(tilt_deg) / 2), 0])
        hand = pose_compose(
            np.array([*centre[:2], floor + 0.004, *tilted]), np.array([0, 0, 0, *HOME_GRIPPER_QUATERNION])
        )
        lift = guard.needed_m(hand, opening_m)
        raised = hand + np.array([0, 0, lift, 0, 0, 0, 0])
        corners = np.array(
            [pose_compose(raised, np.array([*c, 1, 0, 0, 0]))[:3] for c in tip_corners(np.array([opening_m]))[0]]
        )
        assert lift > 0 and corners[:, 2].min() == pytest.approx(floor + Spec.fingertip_clearance_m, abs=1e-9)
        assert guard.needed_m(raised, opening_m) == pytest.approx(0, abs=1e-9)


def test_over_an_edge_the_hand_rises_before_it_goes_on(platform):
    scene, pose, half = platform
    guard = Guard()
    guard.tops = tops_of(scene)
    top = pose[2] + half[2]
    before = np.array([pose[0] - half[0] - 0.03, 0.0, top - 0.005, *HOME_GRIPPER_QUATERNION])
    over = before + np.array([0.06, 0, 0, 0, 0, 0, 0])
    ik = HostIK()
    joints = ik.solve(before)
    assert joints is not None
    line = Line(ik, guard, before, over, 0.0, 60)
    while not line.done(joints):
        was = guard.lift_m
        joints = line.next(joints)
        assert abs(guard.lift_m - was) <= 0.0021
        assert guard.needed_m(guard.lifted(line.reached), 0.0) < 1e-9
    assert guard.lift_m > 0.01


# -- set points ------------------------------------------------------------------------------------------------------


class RecordingArm:
    """Takes set points; refuses them from a number on, if it is told to, or is slow once."""

    def __init__(self, refuse_from=None, slow_at=None):
        self.sent = []
        self.times = []
        self._refuse_from = refuse_from
        self._slow_at = slow_at

    def servo(self, joints):
        if self._refuse_from is not None and len(self.sent) >= self._refuse_from:
            self.sent.append(None)
            raise RobotFault(Kind.COLLISION, code=31)
        self.sent.append(np.array(joints))
        self.times.append(time.monotonic())
        if len(self.sent) == self._slow_at:
            time.sleep(0.08)


def streaming(arm, **changes):
    stream = Stream(arm, HostIK(), replace(CONFIG, **changes))
    stream.start(HOME)
    return stream


def test_set_points_are_capped_in_joints_and_in_the_tools_travel():
    arm = RecordingArm()
    stream = streaming(arm)
    far = HOME + np.array([1.0, 0, 0, 0, 0, 0, 2.0])
    path = Path(np.linspace(HOME, far, 4)[1:])
    stream.begin(path)
    deadline = time.monotonic() + 10
    while not np.allclose(stream.joints_rad, far) and time.monotonic() < deadline:
        time.sleep(0.01)
    stream.halt()
    steps = np.diff(np.array(arm.sent), axis=0)
    tools = np.array([tool_pose(q)[:3] for q in arm.sent])
    assert np.allclose(arm.sent[-1], far)
    assert np.abs(steps).max() <= CONFIG.caps.joint_step_rad + 1e-9
    assert np.linalg.norm(np.diff(tools, axis=0), axis=1).max() <= CONFIG.caps.tool_step_m * 1.05
    assert stream.statistics().num_capped > 0


def test_nothing_is_sent_after_a_fault():
    arm = RecordingArm(refuse_from=5)
    stream = streaming(arm)
    with pytest.raises(RobotFault, match="C31"):
        stream.carry_out(Path(np.linspace(HOME, HOME + 0.1, 40)))
    time.sleep(0.1)
    assert len(arm.sent) == 6 and not stream.running
    with pytest.raises(RobotFault, match="C31"):
        stream.begin(Path(HOME[None]))
    stream.halt()


def test_nothing_is_sent_after_a_halt():
    arm = RecordingArm()
    stream = streaming(arm)
    stream.begin(Path(np.linspace(HOME, HOME + 0.3, 500)))
    time.sleep(0.1)
    stream.halt()
    count = len(arm.sent)
    time.sleep(0.1)
    assert len(arm.sent) == count > 2
    with pytest.raises(RobotFault, match="halted"):
        stream.begin(Path(HOME[None]))


def test_a_late_set_point_is_not_caught_up():
    arm = RecordingArm(slow_at=10)
    stream = streaming(arm)
    stream.carry_out(Path(np.linspace(HOME, HOME + 0.05, 30)))
    stream.halt()
    gaps = np.diff(arm.times)
    assert gaps.max() > 0.075 and gaps.min() > 0.004  # eight would have to follow at once to catch up
    assert stream.statistics().num_late >= 1


def test_silence_halts_a_watched_stream_only():
    for watched in (False, True):
        arm = RecordingArm()
        stream = streaming(arm, watchdog_s=0.1)
        stream.carry_out(Path(HOME[None] + 0.001))
        if watched:
            stream.watch()
        time.sleep(0.3)
        assert stream.running is not watched
        assert (stream.fault is not None and stream.fault.kind is Kind.SILENT_POLICY) is watched
        stream.halt()


# -- the arm's own pictures ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["on the hand", "on a link", "on the table", "beside the hand"])
def test_depth_on_the_arm_is_left_out_and_all_other_stays(kind):
    from iker_envs.optics import look_at, project
    from real_env.self_filter import SelfFilter

    hand = tool_pose(HOME)
    points = {
        "on the hand": pose_compose(hand, np.array([0.05, 0, -0.115, 1, 0, 0, 0]))[:3],
        "on a link": np.array([0.06, 0.0, 0.25]),
        "on the table": np.array([0.6, 0.2, 0.0]),
        "beside the hand": hand[:3] + np.array([0.0, 0.16, 0.1]),
    }
    camera = look_at("far", (1.3, 0.0, 0.75), (0.4, 0.0, 0.2), up=(0, 0, 1))
    K = camera.intrinsics()
    pixels, depths = project(points[kind][None], K, camera.pose_world)
    column, row = np.floor(pixels[0]).astype(int)
    depth_m = np.zeros((camera.height, camera.width), dtype=np.float32)
    depth_m[row, column] = depths[0]
    left = SelfFilter().without_arm(depth_m, K, camera.pose_world, HOME, 0.0)
    assert (left[row, column] > 0) == (kind in ("on the table", "beside the hand"))


def test_what_is_hidden_counts_as_seen_for_a_moment_only():
    from iker_envs.perception import Estimate, EstimateRefused
    from real_env.poses import SeenPoses

    scene = load_task("shoe_push").sample(None)
    names = scene.movable
    poses = {name: Estimate(scene.object(name).pose) for name in names}
    hidden = {**poses, names[0]: Estimate(scene.object(names[0]).pose, why="hidden")}
    answers = [poses, EstimateRefused("a hand hides it", hidden), EstimateRefused("a hand hides it", hidden)]

    class Blinking:
        def estimate(self, view, models):
            answer = answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

    seen = SeenPoses(lambda: None, dict, Blinking(), max_blind_s=0.2)
    assert set(seen.find(scene)) == set(names) == set(seen.find(scene))
    time.sleep(0.25)
    with pytest.raises(RobotFault, match="a hand hides it") as caught:
        seen.find(scene)
    assert caught.value.kind is Kind.PERCEPTION


def test_a_tick_tells_how_old_the_followed_pose_is_also_when_it_is_lost():
    from real_env.poses import SeenPoses

    scene = load_task("shoe_push").sample(np.random.default_rng(0), 0)
    name = scene.movable[0]
    seen = SeenPoses(lambda: None, dict, None, max_blind_s=0.25)
    seen.follow(scene, name)
    assert seen.tracked is None
    hand = GripperPose(HOME)
    for tick in (1, 2):
        np.testing.assert_allclose(seen.track(hand)[name], scene.object(name).pose, atol=1e-9)
        assert seen.tracked.info() == {"pose_age_s": pytest.approx(0.1 * tick), "pose_trusted": False}
        assert seen.latest == {}
    with pytest.raises(RobotFault, match=f"{name} was lost"):
        seen.track(hand)
    assert seen.tracked.age_s > 0.25
