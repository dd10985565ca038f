"""The door to outside models: messages, the reference server over HTTP and pipes, strangers' answers, silence."""

import io
import json
import socket
import sys
import threading
import zipfile
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from iker_envs.optics import default_cameras, stationary_cameras
from iker_envs.perception import EstimateRefused, make_estimator
from iker_envs.perception.door import VERSION, Door, DoorError, Message, packed, unpacked
from iker_envs.perception.door_clients import DoorEstimator, DoorSegmenter, door_grasps, door_mesh
from iker_envs.perception.door_server import make_server, view_of
from iker_envs.perception.views import view_message
from iker_envs.pictures.still import still_view
from iker_envs.scene import Image, ObjectModel, Scene, SceneObject, View, upright_pose

GOOD = [0.4, 0.1, 0.05, 1.0, 0.0, 0.0, 0.0]


@contextmanager
def serving(handlers=None):
    """A server of some handlers, or the reference one, at a loopback address."""
    server = make_server(0) if handlers is None else make_server(0, handlers)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def told(**content):
    return lambda question: Message(content)


@pytest.fixture(scope="module")
def box_scene() -> tuple[Scene, View]:
    """One box on the table and what four exact cameras see of it."""
    box = ObjectModel("crate", "box", np.array([0.2, 0.12, 0.09]), 0.4, rgba=np.array([0.8, 0.5, 0.2, 1.0]))
    thing = SceneObject(box, upright_pose([0.5, 0.05, 0.045], 0.4))
    scene = Scene((thing,), default_cameras(), np.array([[0.2, -0.45, 0.015], [0.75, 0.45, 0.45]]))
    view = still_view(scene, cameras=stationary_cameras(320, 240), shadows=False)
    return scene, View({c.name: view.cameras[c.name] for c in stationary_cameras()}, "back_left", view.true_poses)


@pytest.fixture(scope="module")
def small(box_scene) -> tuple[Scene, View]:
    """The same scene with a picture of 4 x 3 pixels: what a stranger answers does not depend on it."""
    image = Image(np.zeros((3, 4, 3), np.uint8), np.ones((3, 4)), np.eye(3), np.array(GOOD))
    return box_scene[0], View({"one": image}, "one")


# -- messages --------------------------------------------------------------------------------------------------------


def test_a_message_survives_the_way():
    arrays = {"a": np.arange(6.0).reshape(2, 3), "b": np.array([1, 2], np.int16)}
    back = unpacked(packed(Message({"verb": "poses", "last": {"x": [1, 2]}}, arrays)))
    assert back.content == {"version": VERSION, "verb": "poses", "last": {"x": [1, 2]}}
    for name, array in arrays.items():
        np.testing.assert_array_equal(back.arrays[name], array)


def test_a_view_survives_the_way(box_scene):
    _, view = box_scene
    back = view_of(unpacked(packed(view_message(view))))
    assert list(back.cameras) == list(view.cameras)
    for name, image in view.cameras.items():
        np.testing.assert_array_equal(back.cameras[name].rgb, image.rgb)
        np.testing.assert_allclose(back.cameras[name].depth_m, image.depth_m, atol=6e-5)
        np.testing.assert_array_equal(back.cameras[name].T_world_cam, image.T_world_cam)


def npz(**arrays) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def text(content) -> np.ndarray:
    return np.frombuffer((content if isinstance(content, str) else json.dumps(content)).encode(), np.uint8)


def bomb() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("a.npy", "w") as file:
        for _ in range(600):
            file.write(bytes(1 << 20))
    return buffer.getvalue()


def pickled() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, json=text({"version": 1}), a=np.array([print], dtype=object))
    return buffer.getvalue()


BODIES = {
    "nothing": (lambda: b"", "it is no .npz"),
    "text": (lambda: b"hello", "it is no .npz"),
    "cut off": (lambda: packed(Message())[:-30], "it is no .npz"),
    "a pickle": (pickled, "pickle"),
    "a bomb": (bomb, "unpacks to 600 MB, of at most 512"),
    "no json": (lambda: npz(a=np.zeros(2)), "no array `json`"),
    "json of floats": (lambda: npz(json=np.zeros(2)), "no array `json`"),
    "broken json": (lambda: npz(json=text("{")), "JSON cannot be read"),
    "json of a list": (lambda: npz(json=text([1])), "JSON is no object"),
    "another version": (lambda: npz(json=text({"version": 2})), "speaks version 2 of the protocol, this is 1"),
}


@pytest.mark.parametrize(("body", "words"), BODIES.values(), ids=BODIES)
def test_what_is_no_message_is_told(body, words):
    with pytest.raises(ValueError) as caught:
        unpacked(body())
    assert words in str(caught.value)


# -- the reference server ----------------------------------------------------------------------------------------------


def test_poses_come_through_the_door(box_scene):
    scene, view = box_scene
    with serving() as address:
        found = DoorEstimator(Door(address)).estimate(view, scene)
    np.testing.assert_allclose(found["crate"].pose[:3], view.true_poses["crate"][:3], atol=0.005)
    assert 0 < found["crate"].confidence <= 1


def test_the_source_server_asks_at_an_address_or_a_process(small):
    scene, view = small
    with serving({"poses": told(poses={"crate": {"pose": GOOD}})}) as address:
        assert make_estimator("server", server=address).estimate(view, scene)["crate"].confidence == 1.0
    gone = make_estimator("server", server=f"{sys.executable} -c pass")
    with pytest.raises(DoorError, match="ended without an answer"):
        gone.estimate(view, scene)


def test_a_refusal_comes_through_the_door(box_scene):
    scene, view = box_scene
    dark = {n: Image(0 * i.rgb, 0 * i.depth_m, i.K, i.T_world_cam) for n, i in view.cameras.items()}
    with serving() as address, pytest.raises(EstimateRefused) as caught:
        DoorEstimator(Door(address)).estimate(View(dark, view.query), scene)
    assert len(str(caught.value)) > 20


def test_masks_come_through_the_door(box_scene):
    scene, view = box_scene
    with serving() as address:
        masks = DoorSegmenter(Door(address)).segment(view, scene)
    for name, image in view.cameras.items():
        true = image.segmentation == 0
        found = masks[name] == 0
        assert (found & true).sum() > 0.9 * true.sum() and (found & ~true).sum() < 0.2 * true.sum()


def crate_cloud():
    rng = np.random.default_rng(0)
    flat = rng.uniform(-1, 1, (2000, 2)) * [0.06, 0.045]
    side = np.sign(rng.uniform(-1, 1, 2000))
    points = np.column_stack([flat[:, 0] + 0.45, 0.025 * side, flat[:, 1] + 0.045])
    return points, np.column_stack([np.zeros(2000), side, np.zeros(2000)])


def test_grasps_come_through_a_process(box_scene):
    points, normals = crate_cloud()
    door = Door([sys.executable, "-m", "iker_envs.perception.door_server", "--pipes"])
    found = door_grasps(door, points, normals, np.zeros((0, 3)), box_scene[0])
    again = door_grasps(door, points[:5], normals[:5], np.zeros((0, 3)), box_scene[0])
    door.close()
    assert found.grasps and found.grasps[0].width_m == pytest.approx(0.05, abs=0.003)
    assert again.grasps == () and "only 5 points" in again.reason


def test_a_server_goes_on_after_a_bad_question(box_scene):
    with serving() as address:
        door = Door(address)
        with pytest.raises(DoorError, match=r"refused: .*names no cameras"):
            door.ask("masks", Message({"objects": []}))
        with pytest.raises(DoorError, match="refused: "):
            door.ask("grasps", Message({}, {"points": np.zeros(3)}))
        points, normals = crate_cloud()
        assert door_grasps(door, points, normals, np.zeros((0, 3)), box_scene[0]).grasps


# -- strangers -------------------------------------------------------------------------------------------------------


ANSWERS = {
    "no poses": (told(), "has no poses by object"),
    "a list of poses": (told(poses=[1]), "has no poses by object"),
    "six numbers": (told(poses={"crate": {"pose": GOOD[:6]}}), "a pose is 7 finite numbers"),
    "nan": (told(poses={"crate": {"pose": [float("nan"), *GOOD[1:]]}}), "a pose is 7 finite numbers"),
    "no unit": (told(poses={"crate": {"pose": [0, 0, 0, 1, 1, 0, 0]}}), "end in a unit quaternion"),
    "words": (told(poses={"crate": {"pose": "here"}}), "a pose is 7 finite numbers"),
    "no pose in it": (told(poses={"crate": {}}), "is missing"),
    "a number for a pose": (told(poses={"crate": 3}), "the pose of 'crate'"),
    "too sure": (told(poses={"crate": {"pose": GOOD, "confidence": 7}}), "between 0 and 1"),
    "another version": (lambda q: Message({"version": 9}), "speaks version 9"),
}


@pytest.mark.parametrize(("handler", "words"), ANSWERS.values(), ids=ANSWERS)
def test_an_answer_that_is_no_pose_is_not_used(small, handler, words):
    scene, view = small
    with serving({"poses": handler}) as address, pytest.raises(DoorError) as caught:
        DoorEstimator(Door(address)).estimate(view, scene)
    assert words in str(caught.value) and address in str(caught.value) and "\n" not in str(caught.value)


def test_poses_of_strangers_are_passed_over_and_missing_ones_told(small):
    scene, view = small
    handler = told(poses={"sock": {"pose": GOOD}}, refused={"crate": "the crate is hidden"})
    with serving({"poses": handler}) as address, pytest.raises(EstimateRefused, match="the crate is hidden"):
        DoorEstimator(Door(address)).estimate(view, scene)
    with serving({"poses": told(poses={})}) as address, pytest.raises(EstimateRefused, match="crate was not found by"):
        DoorEstimator(Door(address)).estimate(view, scene)


def test_the_last_poses_are_sent_along(small):
    scene, view = small
    asked = []

    def handler(question):
        asked.append(question.content["last"])
        assert question.arrays["triangles_0"].shape[1:] == (3, 3)
        return Message({"poses": {"crate": {"pose": GOOD}}})

    with serving({"poses": handler}) as address:
        estimator = DoorEstimator(Door(address))
        estimator.estimate(view, scene)
        estimator.estimate(view, scene)
        estimator.forget()
        estimator.estimate(view, scene)
    assert asked == [{}, {"crate": GOOD}, {}]


MASKS = {
    "another size": (np.zeros((2, 2), np.int16), "is 3 x 4 numbers, not"),
    "floats": (np.zeros((3, 4)), "is 3 x 4 numbers, not"),
    "an unknown object": (np.full((3, 4), 5, np.int16), "holds 5 to 5; it is -1 for unknown and 0 to 0 for crate"),
}


@pytest.mark.parametrize(("mask", "words"), MASKS.values(), ids=MASKS)
def test_masks_that_are_none_are_not_used(small, mask, words):
    handlers = {"masks": lambda question: Message({}, {"mask_0": mask})}
    with serving(handlers) as address, pytest.raises(DoorError) as caught:
        DoorSegmenter(Door(address)).segment(small[1], small[0])
    assert words in str(caught.value)


TETRA = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]], np.int32)
POINTS = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float32)
MESHES = {
    "open": ({"vertices": POINTS, "faces": TETRA[:3], "colours": POINTS}, "is not watertight"),
    "a wrong vertex": ({"vertices": POINTS, "faces": TETRA + 1, "colours": POINTS}, "one of a vertex that it lacks"),
    "no colours": ({"vertices": POINTS, "faces": TETRA}, "the array 'colours' is missing"),
    "infinite": ({"vertices": np.full((4, 3), np.inf, np.float32), "faces": TETRA, "colours": POINTS}, "not finite"),
    "no faces": ({"vertices": POINTS, "faces": TETRA[:0], "colours": POINTS}, "has 0 faces"),
}


@pytest.mark.parametrize(("arrays", "words"), MESHES.values(), ids=MESHES)
def test_meshes_that_are_none_are_not_used(arrays, words):
    handlers = {"mesh": lambda question: Message({}, arrays)}
    with serving(handlers) as address, pytest.raises(DoorError) as caught:
        door_mesh(Door(address), [(np.zeros((3, 4, 3), np.uint8), np.ones((3, 4)))], np.eye(3))
    assert words in str(caught.value)


def test_a_mesh_comes_through_the_door():
    handlers = {"mesh": lambda question: Message({}, {"vertices": POINTS, "faces": TETRA, "colours": POINTS})}
    with serving(handlers) as address:
        vertices, faces, _ = door_mesh(Door(address), [(np.zeros((3, 4, 3), np.uint8), np.ones((3, 4)))], np.eye(3))
    assert len(vertices) == len(faces) == 4


GRASPS = {
    "no list": (told(), "has no list of grasps"),
    "wide": (told(grasps=[{"tcp_pose": GOOD, "width_m": 2}]), "the width of a grasp is 0 to 0.2 m, not 2"),
    "no width": (told(grasps=[{"tcp_pose": GOOD}]), "a grasp of"),
    "no pose": (told(grasps=[{"tcp_pose": [1], "width_m": 0.1}]), "a pose is 7 finite numbers"),
}


@pytest.mark.parametrize(("handler", "words"), GRASPS.values(), ids=GRASPS)
def test_grasps_that_are_none_are_not_used(small, handler, words):
    with serving({"grasps": handler}) as address, pytest.raises(DoorError) as caught:
        door_grasps(Door(address), *crate_cloud(), np.zeros((0, 3)), small[0])
    assert words in str(caught.value)


# -- silence -----------------------------------------------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def test_nobody_there_is_told_with_what_to_do():
    address = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(
        DoorError, match=rf"no server answers at {address} \(.+\); start it, or use perception.source=rgbd"
    ):
        Door(address).ask("poses", Message())


def test_a_server_that_says_nothing_is_not_waited_for_without_end():
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        door = Door(f"http://127.0.0.1:{deaf.getsockname()[1]}", timeout_s=0.3)
        with pytest.raises(DoorError, match=r"did not answer within 0.3 s; it may be busy, or stuck"):
            door.ask("poses", Message())


PROCESSES = {
    "silent": ("import time; time.sleep(60)", "did not answer within 0.5 s"),
    "gone": ("", "ended without an answer"),
    "chatty": (
        "print('loading the model ...', flush=True); import time; time.sleep(60)",
        "does it print to its standard",
    ),
}


@pytest.mark.parametrize(("program", "words"), PROCESSES.values(), ids=PROCESSES)
def test_a_process_that_does_not_answer_is_told_and_ended(program, words):
    limit = 0.5 if "0.5" in words else 20.0
    door = Door([sys.executable, "-c", program], timeout_s=limit)
    with pytest.raises(DoorError) as caught:
        door.ask("poses", Message({}, {"a": np.zeros(300_000)}))
    assert words in str(caught.value) and door._process is None


ADDRESSES = {
    "https://127.0.0.1:1": "a door is at http://127.0.0.1:PORT",
    "http://192.0.2.1:80": "for a server on another machine, open a tunnel",
    "127.0.0.1:80": "a door is at http://127.0.0.1:PORT",
}


@pytest.mark.parametrize(("address", "words"), ADDRESSES.items(), ids=list(ADDRESSES))
def test_doors_are_on_this_machine(address, words):
    with pytest.raises(ValueError) as caught:
        Door(address)
    assert words in str(caught.value)


def test_a_program_that_is_not_there_is_told():
    with pytest.raises(DoorError, match="no-such-program cannot be started: No such file"):
        Door(["no-such-program"]).ask("poses", Message())


def test_a_server_of_something_else_is_told():
    server = ThreadingHTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with pytest.raises(DoorError, match="answered 501 to poses; does it speak this protocol"):
        Door(f"http://127.0.0.1:{server.server_port}").ask("poses", Message())
    server.shutdown()
    server.server_close()
