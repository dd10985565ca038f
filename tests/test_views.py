"""A view of the cleared scene in a file, masks by a server: both reach the estimator through the settings."""

import threading

import numpy as np
import pytest
from rgbd_scenes import pair, scene_of, seen
from typer.testing import CliRunner

from iker_agent.commands.app import app
from iker_agent.config import make_config
from iker_envs.perception.door import Door, DoorError, Message, packed
from iker_envs.perception.door_server import make_server
from iker_envs.perception.making import make_estimator
from iker_envs.perception.views import load_view, view_bytes, view_message


def test_a_view_comes_back_from_its_file_as_it_was(tmp_path):
    view = seen(scene_of())
    (tmp_path / "empty.npz").write_bytes(view_bytes(view))
    again = load_view(tmp_path / "empty.npz")
    assert list(again.cameras) == list(view.cameras) and again.query == view.query and not again.true_poses
    for name, image in view.cameras.items():
        np.testing.assert_array_equal(again.cameras[name].rgb, image.rgb)
        np.testing.assert_allclose(again.cameras[name].depth_m, image.depth_m, atol=6e-5)
        np.testing.assert_allclose(again.cameras[name].T_world_cam, image.T_world_cam)


def test_the_reference_server_tells_objects_apart_for_a_run():
    server = make_server()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    view = seen(pair(), seed=5)
    estimator = make_estimator("rgbd", masks=f"http://127.0.0.1:{server.server_port}")
    found = estimator.estimate(view, pair())
    with pytest.raises(DoorError, match="send the scene"):
        Door(f"http://127.0.0.1:{server.server_port}").ask("masks", view_message(view))
    server.shutdown()
    server.server_close()
    for name, estimate in found.items():
        assert np.linalg.norm(estimate.pose[:3] - pair().object(name).pose[:3]) < 0.01


def test_objects_are_what_the_view_of_the_cleared_scene_lacks(tmp_path):
    (tmp_path / "empty.npz").write_bytes(view_bytes(seen(scene_of(), seed=4)))
    asked = []

    def masks(question: Message) -> Message:
        asked.append(question.content["objects"])
        shape = question.arrays["rgb_0"].shape[:2]
        return Message({}, {f"mask_{k}": np.full(shape, -1, np.int16) for k in range(len(question.content["cameras"]))})

    server = make_server(0, {"masks": masks})
    threading.Thread(target=server.serve_forever, daemon=True).start()
    door = f"http://127.0.0.1:{server.server_port}"
    estimator = make_estimator("rgbd", empty=str(tmp_path / "empty.npz"), masks=door)
    found = estimator.estimate(seen(pair(), seed=5), pair())
    server.shutdown()
    server.server_close()
    assert asked == [list(pair().movable)]
    for name, estimate in found.items():
        assert np.linalg.norm(estimate.pose[:3] - pair().object(name).pose[:3]) < 0.01


WRONG = {
    "missing": (None, "No such file"),
    "no archive": (b"nothing", "it is no .npz"),
    "no cameras": (packed(Message({"cameras": []}, {})), "cameras is a list of 1 to 32 names"),
    "cameras without pictures": (packed(Message({"cameras": ["front"]}, {})), "rgb_0"),
}


@pytest.mark.parametrize(("content", "words"), WRONG.values(), ids=WRONG)
def test_a_file_that_holds_no_view_is_told_with_the_way_out(tmp_path, content, words):
    path = tmp_path / "empty.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError) as caught:
        load_view(path)
    assert words in str(caught.value) and str(caught.value).endswith("`iker look --save-empty` takes one")


@pytest.mark.parametrize("setting", ["perception.empty=a.npz", "perception.masks=b", "perception.track=true"])
def test_what_pictures_alone_can_use_is_refused_without_them(setting):
    with pytest.raises(ValueError, match=r"perception\.source=rgbd"):
        make_config([setting])


def test_the_command_takes_a_view_without_objects(tmp_path):
    path = tmp_path / "empty.npz"
    done = CliRunner().invoke(app, ["look", "--task", "shoe_push", "--save-empty", str(path), "perception.source=rgbd"])
    assert done.exit_code == 0 and f"perception.empty={path}" in done.output.replace("\n", "")
    assert len(load_view(path).cameras) == 5
