"""The simulated environment is a World, and a world can be touched and described without reaching into it."""

import inspect

import gymnasium as gym
import numpy as np
import pytest

import iker_envs
from iker_envs.env import StageEnv
from iker_envs.scene import upright_pose
from iker_envs.world import World

METHODS = ("view", "reset", "step", "finish", "render", "move", "close")


@pytest.fixture
def world():
    env = gym.make("IKER-ShoePlace-v0", randomisation="off").unwrapped
    yield env
    env.close()


def test_the_simulated_environment_is_a_world(world):
    world.reset(seed=0)
    assert isinstance(world, World)
    assert {name for name in vars(World) if not name.startswith("_")} == {*METHODS, "template", "scene", "has_truth"}


@pytest.mark.parametrize("name", METHODS)
def test_methods_have_the_signatures_of_a_world(name):
    def of(kind: type) -> list[tuple]:
        parameters = inspect.signature(getattr(kind, name)).parameters.values()
        return [(p.name, p.kind, p.default) for p in parameters]

    assert of(StageEnv) == of(World)


@pytest.mark.parametrize("env_id", iker_envs.TASKS)
def test_the_template_is_the_scene_but_for_the_poses_of_movable_objects(env_id):
    env = gym.make(env_id).unwrapped
    for configuration in (0, 9):
        env.reset(seed=3, options={"configuration": configuration})
        template = env.template
        scene = env.scene
        assert [o.model for o in template.objects] == [o.model for o in scene.objects]
        for of_template, now in zip(template.objects, scene.objects, strict=True):
            assert of_template.movable == now.movable
            if not now.movable:
                np.testing.assert_array_equal(of_template.pose, now.pose)
        filled = template.with_poses({o.name: o.pose for o in scene.objects if o.movable})
        assert filled.to_dict() == scene.to_dict()
    env.close()


def test_the_template_does_not_tell_where_the_objects_are(world):
    templates = []
    starts = []
    for seed in (0, 1):
        world.reset(seed=seed, options={"configuration": 0, "look": True})
        templates.append(world.template.to_dict())
        starts.append(world.scene.to_dict())
    assert templates[0] == templates[1] and starts[0] != starts[1]


def test_a_moved_object_is_where_it_was_put_and_nothing_else_moved(world):
    world.reset(seed=0, options={"look": True})
    before = world.scene
    hand = world.worlds.state.gripper_pose.copy()
    pose = upright_pose([0.45, 0.30, 0.046], 0.4)
    world.move("left_shoe", pose)
    for obj in world.scene.objects:
        expected = pose if obj.name == "left_shoe" else before.object(obj.name).pose
        np.testing.assert_allclose(obj.pose, expected, atol=1e-12, err_msg=obj.name)
    np.testing.assert_allclose(world.worlds.state.gripper_pose, hand, atol=1e-12)
    np.testing.assert_allclose(world.view().true_poses["left_shoe"], pose)


def test_an_object_that_is_taken_out_of_the_hand_is_lost(world):
    world.reset(seed=0)
    assert world.worlds.grasped[0]
    world.move("left_shoe", upright_pose([0.40, 0.30, 0.046]))
    terminated = world.step(np.zeros(6))[2]
    assert terminated


def test_an_object_that_is_put_at_its_target_is_measured_there(world):
    world.reset(seed=0, options={"look": True})
    world.move("left_shoe", world.goal.target_pose)
    assert world.finish().goal_error_m < 0.01


BAD_MOVES = {
    "unknown": ("sock", upright_pose([0.4, 0, 0.05]), "'sock' cannot be moved; movable: .*left_shoe"),
    "furniture": ("rack", upright_pose([0.4, 0, 0.05]), "'rack' cannot be moved; movable: .*left_shoe"),
    "no text": (["left_shoe"], upright_pose([0.4, 0, 0.05]), "cannot be moved; movable"),
    "position": ("left_shoe", [0.4, 0.0, 0.05], "a pose is .* 7 finite numbers, not"),
    "nan": ("left_shoe", np.full(7, np.nan), "7 finite numbers"),
    "no quaternion": ("left_shoe", np.zeros(7), "unit quaternion"),
    "ragged": ("left_shoe", [[1], [1, 2]], "7 finite numbers"),
    "text": ("left_shoe", "there", "7 finite numbers"),
}


@pytest.mark.parametrize(("name", "pose", "words"), BAD_MOVES.values(), ids=BAD_MOVES)
def test_a_move_that_cannot_be_is_told_in_one_sentence_and_moves_nothing(world, name, pose, words):
    world.reset(seed=0)
    before = world.scene.to_dict()
    with pytest.raises(ValueError, match=words) as caught:
        world.move(name, pose)
    assert "\n" not in str(caught.value) and world.scene.to_dict() == before


def test_nothing_is_moved_before_the_first_reset_and_after_the_end(world):
    with pytest.raises(ValueError, match=r"call reset\(\) before move\(\)"):
        world.move("left_shoe", upright_pose([0.4, 0.3, 0.046]))
    world.reset(seed=0)
    world.close()
    uses = (lambda: world.move("left_shoe", upright_pose([0.4, 0.3, 0.046])), lambda: world.template, world.view)
    for use in uses:
        with pytest.raises(ValueError, match="the environment is closed; make another one"):
            use()
