"""Names are names: whatever is called by data can stand in a path, a page, a pattern and an engine as it is."""

import copy

import pytest
import trimesh
from hypothesis import given
from hypothesis import strategies as st
from plain_task import TASK

from iker_agent.records.run_folder import fresh_folder
from iker_envs.contract import MAX_NAME, as_contract, check_name
from iker_envs.documents import yaml_text
from iker_envs.objects.library import object_library
from iker_envs.scene import Camera, ObjectModel, upright_pose
from iker_envs.task import load_task, parse_task

GOOD = ["shoe_rack", "IKER-ShoeRack-v0", "a", "7", "_", "_x", "1e3", "no", "tür", "Ελλάδα", "靴", "x" * MAX_NAME]
BAD = [
    "", " ", "../x", "..", ".", ".x", "-x", "/abs", "a/b", "a\\b", "a b", "a\nb", "a\n", "a\0b", "a:b", "{{", "{{7*7}}",
    "<script>", "a&b", "a'b", 'a"b', "$HOME", "~", "a*", "(a", "a.yaml", "\x1b[31m", "a\u200bb", "\u202ea",
    "ﬁ", "Ａ", "²", "e\u0301",
    "CON", "nul", "Lpt1", "x" * (MAX_NAME + 1), "x" * 5000, "ğ" * 51, "a\ud800",
]  # fmt: skip


def _refused(make, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        make()
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 800


@pytest.mark.parametrize("name", GOOD)
def test_a_name_of_letters_digits_and_lines_is_kept(name):
    assert check_name("it", name) == name


@pytest.mark.parametrize("name", BAD, ids=range(len(BAD)))
def test_what_is_no_name_is_refused_for_tasks_objects_models_and_cameras(name):
    renamed = copy.deepcopy(TASK)
    renamed["objects"][name] = renamed["objects"].pop("box")
    renamed["stages"][0]["goal"]["object"] = name.replace("$", "$$")
    for make, what in (
        (lambda: parse_task({**TASK, "name": name}), "the task's name"),
        (lambda: parse_task({**TASK, "id": name}), "the task's id"),
        (lambda: parse_task(renamed), "an object's name"),
        (lambda: ObjectModel(name, "box", [0.1, 0.1, 0.1]), "an object's name"),
        (lambda: Camera(name, upright_pose([0, 0, 1])), "a camera's name"),
    ):
        _refused(make, rf"{what} (is empty|cannot be) ?.*(a name has 1 to 50|on Windows)|{what} is empty")


@pytest.mark.parametrize("name", [None, 5, True, ["a"], {"a": 1}])
def test_a_name_is_a_text(name):
    _refused(lambda: check_name("it", name), "it is a text, not")


@given(st.text(max_size=60))
def test_a_name_that_is_taken_makes_one_folder_where_it_should_be(name):
    try:
        check_name("it", name)
    except ValueError:
        return
    folder = fresh_folder(None, name)
    try:
        assert folder.parts == ("runs", f"{name}_001") and folder.is_dir()
    finally:
        folder.rmdir()
    assert len(folder.name.encode()) < 255


def test_a_task_file_cannot_lead_a_run_out_of_its_folder(tmp_path):
    (tmp_path / "task.yaml").write_text(yaml_text({**TASK, "name": "../../x"}))
    _refused(lambda: load_task(tmp_path / "task.yaml"), r"task\.yaml' is faulty: .*cannot be '\.\./\.\./x'; a name has")


def test_a_task_is_looked_up_by_name_inside_the_folders_only(tmp_path, monkeypatch):
    (tmp_path / "outside.yaml").write_text(yaml_text(TASK))
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "objects.yaml").write_text("thing: {shape: box, size_m: [1, 1, 1]}")
    monkeypatch.setenv("IKER_TASKS", str(tmp_path / "tasks"))
    for name in ("../outside", str(tmp_path / "outside"), "objects", "", "a\0b", "x" * 5000, "*", "shoe_*"):
        _refused(lambda name=name: load_task(name), "no task ")
    for path in ("a\0b.yaml", "x" * 5000 + ".yaml", "../outside.yaml"):
        _refused(lambda path=path: load_task(path), "does not exist")


@pytest.mark.parametrize("name", ["../x", "a b", "con", "{{", "x" * 51])
def test_a_model_s_name_is_a_name(tmp_path, name):
    (tmp_path / "objects.yaml").write_text(yaml_text({name: {"shape": "box", "size_m": [0.1, 0.1, 0.1]}}))
    _refused(lambda: object_library([tmp_path]), r"objects\.yaml': object model .*: its name cannot be")


def test_a_model_s_key_is_its_name(tmp_path):
    (tmp_path / "objects.yaml").write_text("cup: {shape: box, size_m: [0.1, 0.1, 0.1], name: mug}")
    _refused(lambda: object_library([tmp_path]), "object model 'cup': the key is its name; leave out the field `name`")


def test_a_mesh_lies_in_the_folder_of_its_objects(tmp_path):
    inside = tmp_path / "tasks" / "meshes"
    inside.mkdir(parents=True)
    for folder in (tmp_path, inside):
        trimesh.creation.box((0.06, 0.04, 0.05)).export(folder / "thing.obj")
    objects = tmp_path / "tasks" / "objects.yaml"
    objects.write_text("thing: {shape: mesh, mesh: meshes/thing.obj, mass_kg: 0.2}")
    assert object_library([tmp_path / "tasks"])["thing"].mesh == str(inside / "thing.obj")
    for path in ("../thing.obj", "meshes/../../thing.obj", str(tmp_path / "thing.obj")):
        objects.write_text(yaml_text({"thing": {"shape": "mesh", "mesh": path, "mass_kg": 0.2}}))
        _refused(
            lambda: object_library([tmp_path / "tasks"]), r"mesh is a path inside the folder of objects\.yaml, not"
        )


def test_names_that_yaml_could_take_for_something_else_survive_a_run_folder(tmp_path):
    data = copy.deepcopy(TASK)
    data["objects"]["1e3"] = data["objects"].pop("box")
    data["stages"][0]["goal"]["object"] = "1e3"
    scene = parse_task(data).sample(None)
    path = tmp_path / "scene.yaml"
    path.write_text(yaml_text(scene.to_dict()))
    again = as_contract(type(scene), path)
    assert [o.name for o in again.objects] == ["rack", "1e3"]
