"""URDF files of scenes for sim=isaac, the traps that the double of isaacgym enforces, and `iker doctor --sim isaac`."""

from __future__ import annotations

import importlib
import sys
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from isaac_double import FOLDER, use_double
from sim_worlds import BOX, scene_of
from typer.testing import CliRunner

from iker_agent.commands.app import app
from iker_envs.physics.isaac.forms import Forms, shape_compliance, shape_friction, shape_restitution
from iker_envs.physics.isaac.urdf import lowest_m, mass_properties, write_asset
from iker_envs.physics.mujoco_model import build_model
from iker_envs.sim import Variant
from iker_envs.task import load_task

# -- files -------------------------------------------------------------------------------------------------------------


def read(folder, name):
    return ElementTree.parse(folder / f"{name}.urdf").getroot()


def test_the_gripper_is_a_chain_of_driven_joints_and_every_link_has_inertia(tmp_path):
    forms = Forms([Variant(scene_of())], None, tmp_path)
    request = forms.request([Variant(scene_of())])
    root = read(tmp_path, "gripper")
    moving = [j.get("name") for j in root.findall("joint") if j.get("type") != "fixed"]
    assert moving == ["x", "y", "z", "pitch", "roll", "tool_yaw", "finger_left", "finger_right"]
    kinds = [j.get("type") for j in root.findall("joint") if j.get("type") != "fixed"]
    assert kinds == ["prismatic"] * 3 + ["continuous"] * 3 + ["prismatic"] * 2
    assert len(root.findall("link")) == len(root.findall("joint")) + 1, "one tree"
    for link in root.findall("link"):
        assert float(link.find("inertial/mass").get("value")) > 0
        assert all(float(link.find("inertial/inertia").get(f"i{a}{a}")) > 0 for a in "xyz")
    assert request["gripper"]["properties"]["effort"] == [100, 100, 100, 15, 15, 15, 30, 30]


@pytest.mark.parametrize("task", ["shoe_rack", "book_stow"])
def test_objects_of_a_task_weigh_and_reach_what_they_do_in_the_scene(tmp_path, task):
    scene = load_task(task).sample(None, 0)
    model = build_model(scene)
    for obj in scene.objects:
        root = read(tmp_path, write_asset(model, obj.name, tmp_path, obj.name)[: -len(".urdf")])
        (link,) = root.findall("link")
        mass = float(link.find("inertial/mass").get("value"))
        assert mass == pytest.approx(obj.model.mass_kg if obj.movable else 1.0)
        assert len(link.findall("collision")) == np.sum(model.geom_bodyid == model.body(obj.name).id)
        assert lowest_m(model, obj.name) == pytest.approx(obj.model.size_m[2] / 2, abs=0.002)


def test_round_things_become_convex_meshes_that_face_outwards(tmp_path):
    import mujoco

    spec = mujoco.MjSpec()
    body = spec.worldbody.add_body(name="egg")
    body.add_freejoint()
    body.add_geom(type=mujoco.mjtGeom.mjGEOM_ELLIPSOID, size=[0.03, 0.04, 0.05], mass=0.1)
    model = spec.compile()
    write_asset(model, "egg", tmp_path, "egg")
    lines = (tmp_path / "egg_egg_0.obj").read_text().splitlines()
    points = np.array([line.split()[1:] for line in lines if line.startswith("v ")], dtype=float)
    faces = np.array([line.split()[1:] for line in lines if line.startswith("f ")], dtype=int) - 1
    np.testing.assert_allclose(np.abs(points).max(axis=0), [0.03, 0.04, 0.05])
    a, b, c = points[faces].transpose(1, 0, 2)
    volume = np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6
    assert 0.9 < volume / (4 / 3 * np.pi * 0.03 * 0.04 * 0.05) < 1.0, "positive: no face looks inwards"
    assert mass_properties(model, "egg")[0] == pytest.approx(0.1)


def test_equal_forms_are_written_once(tmp_path):
    other = scene_of(model=replace(BOX, mass_kg=0.3))
    variants = [Variant(scene_of()), Variant(other), Variant(scene_of()), Variant(scene_of(), "box", 1.1)]
    forms = Forms(variants, None, tmp_path)
    assert forms.form_of[:, 0].tolist() == [0, 1, 0, 2]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["box_0.urdf", "box_1.urdf", "box_2.urdf"]
    places = [form["parked"][:2] for form in forms.request(variants)["things"][0]["forms"]]
    assert len({tuple(place) for place in places}) == 3 and np.max(places) < -2.0


def test_materials_are_what_their_means_need():
    np.testing.assert_allclose((shape_friction(np.array([0.5, 0.3, 0.15])) + 0.3) / 2, [0.5, 0.3, 0.15])
    assert shape_restitution(np.array([1.0, 3.0])).tolist() == [0.0, 0.0]
    assert shape_restitution(np.array([0.2]))[0] / 2 == pytest.approx(np.exp(-np.pi * 0.2 / np.sqrt(0.96)), abs=0.04)
    np.testing.assert_allclose(shape_compliance(np.array([1.0, 2.0]), np.array([0.5])), [0.0, 0.0024])


# -- the double --------------------------------------------------------------------------------------------------------


@pytest.fixture
def double(monkeypatch, tmp_path):
    """gymapi, and a Gym with a gripper and a box in each of two worlds, not prepared yet."""
    monkeypatch.syspath_prepend(str(FOLDER))
    for name in [n for n in sys.modules if n.split(".")[0] == "isaacgym"]:
        monkeypatch.delitem(sys.modules, name)
    api = importlib.import_module("isaacgym.gymapi")
    torch = importlib.import_module("isaacgym.gymtorch")
    gym = api.acquire_gym()
    params = api.SimParams()
    params.up_axis = api.UP_AXIS_Z
    params.gravity = api.Vec3(0, 0, -9.81)
    sim = gym.create_sim(0, -1, api.SIM_PHYSX, params)
    plane = api.PlaneParams()
    plane.normal = api.Vec3(0, 0, 1)
    gym.add_ground(sim, plane)
    forms = Forms([Variant(scene_of())], None, tmp_path)
    forms.request([Variant(scene_of())])
    options = api.AssetOptions()
    options.angular_damping = 0.0
    box = gym.load_asset(sim, str(tmp_path), "box_0.urdf", options)
    options = api.AssetOptions()
    options.angular_damping, options.fix_base_link = 0.0, True
    hand = gym.load_asset(sim, str(tmp_path), "gripper.urdf", options)
    for world in range(2):
        env = gym.create_env(sim, api.Vec3(-1, -1, 0), api.Vec3(1, 1, 1), 2)
        gym.create_actor(env, hand, api.Transform(), "hand", world, 1)
        gym.create_actor(env, box, api.Transform(), "box", world, 0)
    yield api, torch, gym, sim, hand, box
    for name in [n for n in sys.modules if n.split(".")[0] == "isaacgym"]:
        sys.modules.pop(name)


def given(torch, values, kind=np.float32):
    array = np.array(values, dtype=kind)
    return array, torch.unwrap_tensor(torch.torch.from_numpy(array))


def test_the_double_refuses_what_goes_wrong_silently(double):
    api, torch, gym, sim, _, box = double
    env = gym.envs[1]
    with pytest.raises(RuntimeError, match="worlds of one collision group meet each other"):
        gym.create_actor(env, box, api.Transform(), "second", 0, 0)
    with pytest.raises(RuntimeError, match="actors of a world are made before the next world"):
        gym.create_actor(gym.envs[0], box, api.Transform(), "second", 0, 0)
    with pytest.raises(RuntimeError, match="a process holds one simulation"):
        gym.create_sim(0, -1, api.SIM_PHYSX, api.SimParams())
    with pytest.raises(RuntimeError, match="tensors are there after prepare_sim"):
        gym.acquire_dof_state_tensor(sim)
    with pytest.raises(AttributeError, match="PlaneParams has no 'friction'"):
        api.PlaneParams().friction = 1.0
    gym.prepare_sim(sim)
    roots = torch.wrap_tensor(gym.acquire_actor_root_state_tensor(sim)).numpy()
    assert gym.get_actor_index(env, 1, api.DOMAIN_SIM) == 3 and gym.get_actor_index(env, 1, api.DOMAIN_ENV) == 1
    kept, states = given(torch, np.tile([0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0], (4, 1)))
    chosen, boxes = given(torch, [1, 3], np.int32)
    gym.set_actor_root_state_tensor_indexed(sim, states, boxes, 2)
    with pytest.raises(RuntimeError, match="root twice before simulate: the first one is lost"):
        gym.set_actor_root_state_tensor_indexed(sim, states, boxes, 2)
    joints, its = given(torch, np.zeros((16, 2)))
    with pytest.raises(RuntimeError, match="an index of an actor without joints"):
        gym.set_dof_state_tensor_indexed(sim, its, boxes, 2)
    gym.refresh_actor_root_state_tensor(sim)
    assert roots[1, 2] == 0.0, "a setter shows after the next simulate"
    gym.simulate(sim)
    with pytest.raises(RuntimeError, match="fetch_results comes before refreshing"):
        gym.refresh_actor_root_state_tensor(sim)
    gym.fetch_results(sim, True)
    gym.refresh_actor_root_state_tensor(sim)
    assert roots[[1, 3], 2] == pytest.approx(1.0, abs=0.01)
    local = [world.data.body("box").xpos[0] for world in gym.worlds]
    np.testing.assert_allclose(local, [0.0, -2.0], atol=1e-6, err_msg="positions are global")
    gym.gpu = True
    with pytest.raises(RuntimeError, match="on the GPU masses are set before prepare_sim"):
        gym.set_actor_rigid_body_properties(env, 1, gym.get_actor_rigid_body_properties(env, 1), recomputeInertia=True)
    assert kept.any() and chosen.any() and not joints.any()  # memory that was given is kept until here


def test_the_double_refuses_a_quaternion_that_begins_with_w_where_it_is_none(double):
    _, torch, gym, sim, *_ = double
    gym.prepare_sim(sim)
    wxyz = given(torch, np.tile([0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0], (4, 1)))
    chosen = given(torch, [1], np.int32)
    gym.set_actor_root_state_tensor_indexed(sim, wxyz[1], chosen[1], 1)
    gym.simulate(sim)
    turned = gym.worlds[0].data.body("box").xquat
    np.testing.assert_allclose(np.abs(turned), [0, 1, 0, 0], atol=1e-3, err_msg="it is half a turn, not none")


# -- iker doctor -------------------------------------------------------------------------------------------------------


def doctor():
    result = CliRunner().invoke(app, ["doctor", "--sim", "isaac"])
    return result.exit_code, result.output.splitlines()


def test_the_doctor_names_a_missing_interpreter_with_the_way_out(monkeypatch):
    monkeypatch.delenv("ISAACGYM_PYTHON", raising=False)
    code, lines = doctor()
    assert code == 1
    (line,) = [line for line in lines if line.startswith("BAD interpreter")]
    assert "set ISAACGYM_PYTHON to" in line and "pyenv install 3.8" in line


def test_the_doctor_looks_into_an_interpreter_and_tries_it(monkeypatch):
    use_double(monkeypatch)
    code, lines = doctor()
    old = sys.version_info[:2] == (3, 8)
    assert code == (0 if old else 1), lines
    marks = {line[4:].split(":")[0]: line[:3] for line in lines[:-1]}
    assert marks == {
        "system": "ok ",
        "interpreter": "ok " if old else "BAD",
        **dict.fromkeys(("numpy", "isaacgym", "torch", "driver", "trial"), "ok "),
    }
    assert "binary of Isaac Gym Preview 4 is for Python 3.6 to 3.8" in lines[1]


def test_the_doctor_names_a_missing_binary_and_driver(monkeypatch):
    use_double(monkeypatch, device="cuda:0")
    monkeypatch.delenv("PYTHONPATH")
    monkeypatch.setattr("iker_envs.physics.isaac.doctor._DRIVER", FOLDER / "none")
    code, lines = doctor()
    assert code == 1 and lines[-1] == "3 to mend"
    text = "\n".join(lines)
    assert "BAD isaacgym: ModuleNotFoundError" in text and "-m pip install -e isaacgym/python" in text
    assert "BAD driver: no NVIDIA driver is loaded" in text and "export ISAACGYM_DEVICE=cpu" in text


@pytest.mark.parametrize("trouble", ["simulate:exit", "create_sim:raise"])
def test_the_doctor_tells_what_the_trial_shows(monkeypatch, trouble):
    use_double(monkeypatch)
    monkeypatch.setenv("FAKE_ISAACGYM_TROUBLE", trouble)
    found = {"version": [3, 8, 18], "numpy": "1.23.5", "isaacgym.gymapi": "there", "torch": "2.4.1"}
    monkeypatch.setattr("iker_envs.physics.isaac.doctor._probe", lambda python: found)  # torch takes seconds to load
    code, lines = doctor()
    assert code == 1 and any(line.startswith("BAD trial: ") for line in lines)


@pytest.mark.parametrize("program", ["/bin/ls", "/bin/true"])
def test_the_doctor_is_not_fooled_by_another_program(monkeypatch, program):
    monkeypatch.setenv("ISAACGYM_PYTHON", program)
    code, lines = doctor()
    assert code == 1 and f"BAD interpreter: {program}: is no Python that works" in "\n".join(lines)
