"""What all tests share: no way out but loopback, repeatable property tests, a small rack scene and a generator."""

import gc
import ipaddress
import json
import os
import signal
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from warm_child import WarmChild
from xdist.scheduler import LoadScopeScheduling

from iker_envs.optics import default_cameras
from iker_envs.priority import lower_priority
from iker_envs.scene import Goal, Image, ObjectModel, Scene, SceneObject, View, position_and_angles, upright_pose

# Repeatable, and without a time limit per example: a busy machine must not fail a test.
settings.register_profile("iker", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("iker")


_NOBODY = 65534  # by convention the user without rights
_LABORATORY = "laboratory"
_FIRST = "gw0"  # xdist's name of its first process


class OneLaboratory(LoadScopeScheduling):
    """Tests of a file share a process; all that may start a laboratory, whose clock is the wall's, share the first."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::", 1)[0]
        name = file.rpartition("/")[2]
        return _LABORATORY if name.startswith(("test_lab_", "test_real_", "test_calibrating_live")) else file

    def _assign_work_unit(self, node: Any) -> None:
        if _LABORATORY in self.workqueue:
            self.workqueue.move_to_end(_LABORATORY, last=node.gateway.id != _FIRST)
        super()._assign_work_unit(node)


def pytest_configure(config: pytest.Config) -> None:
    """Processes without a laboratory give way to that with it, all compute in one thread; signals end what tests start.

    Pools of threads of several processes on few cores wait for each other (SciPy, while a camera is calibrated).
    A shell that starts the tests in the background, or `nohup`, has them and their children ignore Ctrl-C or SIGHUP:
    programs that a test interrupts would go on.
    """
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        os.environ.setdefault(name, "1")  # for the processes that xdist starts, and for what tests start
    for name, action in (("SIGINT", signal.default_int_handler), ("SIGHUP", signal.SIG_DFL)):
        if hasattr(signal, name) and signal.getsignal(getattr(signal, name)) is signal.SIG_IGN:
            signal.signal(getattr(signal, name), action)
    if getattr(config, "workerinput", {}).get("workerid", _FIRST) != _FIRST:
        if hasattr(os, "setsid"):
            os.setsid()
        lower_priority(5)


def pytest_collection_finish() -> None:
    """Half a million objects stay until the end: no later collection has to look at them (0.3 s each)."""
    gc.collect()
    gc.freeze()


def pytest_xdist_auto_num_workers() -> int | None:
    """One more than there are cores: the tests of a laboratory mostly wait for it."""
    told = "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ  # which xdist reads itself
    return None if told else (os.cpu_count() or 1) + 1


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> OneLaboratory:
    """In the place of xdist's own way to hand out tests."""
    return OneLaboratory(config, log)


class NetworkForbidden(RuntimeError):
    """A test tried to reach another machine."""


def is_loopback(host: Any) -> bool:
    """127.0.0.0/8, ::1 and localhost; no host at all (None or "") means this machine too."""
    if isinstance(host, bytes):
        host = host.decode("ascii", "replace")
    if host in (None, "", "localhost"):
        return True
    try:
        return ipaddress.ip_address(str(host)).is_loopback
    except ValueError:
        return False


def _refuse_unless_loopback(host: Any) -> None:
    if not is_loopback(host):
        raise NetworkForbidden(f"tests may not reach {host!r}: only 127.0.0.0/8, ::1, localhost and unix sockets")


def _guard_socket_method(original: Callable) -> Callable:
    """The address is the last positional argument of connect, connect_ex and sendto."""

    def guarded(self: socket.socket, *arguments: Any) -> Any:
        if self.family in (socket.AF_INET, socket.AF_INET6) and isinstance(arguments[-1], tuple):
            _refuse_unless_loopback(arguments[-1][0])
        return original(self, *arguments)

    return guarded


def _guard_function(original: Callable, host_of: Callable[[Any], Any]) -> Callable:
    def guarded(first: Any, *arguments: Any, **options: Any) -> Any:
        _refuse_unless_loopback(host_of(first))
        return original(first, *arguments, **options)

    return guarded


@pytest.fixture(scope="session", autouse=True)
def only_loopback() -> Iterator[None]:
    """Connections and look-ups of anything but this machine raise before a packet leaves."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("connect", "connect_ex", "sendto"):
            patch.setattr(socket.socket, name, _guard_socket_method(getattr(socket.socket, name)))
        for name in ("getaddrinfo", "gethostbyname", "gethostbyname_ex"):
            patch.setattr(socket, name, _guard_function(getattr(socket, name), lambda host: host))
        patch.setattr(socket, "create_connection", _guard_function(socket.create_connection, lambda a: a[0]))
        yield


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20240)


@pytest.fixture
def unreadable() -> Iterator[Callable[[str, str], Path]]:
    """Name, text -> a file that may not be read; tests that root runs go on as a user without its rights."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)

        def make(name: str, text: str) -> Path:
            path = Path(folder, name)
            path.write_text(text, encoding="utf-8")
            path.chmod(0)
            if os.geteuid() == 0:
                os.seteuid(_NOBODY)
            return path

        yield make
        os.seteuid(os.getuid())


@pytest.fixture(scope="session")
def rack_scene() -> Scene:
    """A box on a rack, a left and a right shoe on the table before it (reference scene of the shoe tasks)."""
    rack = ObjectModel("rack", "rack", np.array([0.28, 0.64, 0.10]))
    box = ObjectModel("shoe_box", "box", np.array([0.28, 0.20, 0.11]), 0.6)
    left, right = (
        ObjectModel(f"{s}_shoe", "shoe", np.array([0.28, 0.10, 0.09]), 0.3, side=s) for s in ("left", "right")
    )
    objects = (
        SceneObject(rack, upright_pose([0.66, 0.0, 0.05]), movable=False),
        SceneObject(box, upright_pose([0.65, 0.0, 0.155])),
        SceneObject(left, upright_pose([0.335, 0.17, 0.045])),
        SceneObject(right, upright_pose([0.335, -0.17, 0.045])),
    )
    return Scene(objects, default_cameras(), np.array([[0.20, -0.45, 0.015], [0.75, 0.45, 0.45]]))


@pytest.fixture(scope="session")
def blank_view() -> Callable[[Scene], View]:
    """Scene -> a picture of its query camera in which nothing is in front of anything."""

    def look(scene: Scene) -> View:
        camera = next(c for c in scene.cameras if c.name == scene.query_camera)
        size = (camera.height, camera.width)
        image = Image(np.zeros((*size, 3), np.uint8), np.zeros(size), camera.intrinsics(), camera.pose_world)
        return View({camera.name: image}, camera.name)

    return look


@pytest.fixture(scope="session")
def program_inputs(blank_view) -> Callable[[Scene], dict[str, dict[str, Any]]]:
    """Scene -> what a program is given under each contract."""
    from iker_agent.seeing.keypoints import select_keypoints

    def inputs(scene: Scene) -> dict[str, dict[str, Any]]:
        keypoints = select_keypoints(scene, blank_view(scene)).by_label()
        return {"keypoints": keypoints, "poses": {o.name: position_and_angles(o.pose) for o in scene.objects}}

    return inputs


@pytest.fixture(scope="session")
def warm_child() -> Iterator[WarmChild]:
    """Where programs run that do not need an interpreter of their own."""
    child = WarmChild()
    yield child
    child.close()


@pytest.fixture(scope="module", autouse=True)
def warm_programs(request: pytest.FixtureRequest, warm_child: WarmChild) -> Iterator[None]:
    """Programs run in the real child, forked from one interpreter, except where the tests are about programs."""
    from iker_agent.program import runner

    with pytest.MonkeyPatch.context() as patch:
        if not request.path.name.startswith("test_program"):
            patch.setattr(runner, "_run_child", warm_child.run)
        yield


@pytest.fixture(scope="session")
def kwargs_of(rack_scene) -> Callable[[str], dict[str, Any]]:
    """Environment id -> what it needs beside defaults; IKER-Stage-v0 gets its scene and goal as plain JSON data."""
    goal = Goal("left_shoe", upright_pose([0.42, 0.08, 0.045], 0.3), instruction="Push the shoe inwards")
    stage = json.loads(json.dumps({"scene": rack_scene.to_dict(), "goal": goal.to_dict()}))
    return lambda env_id: stage if env_id == "IKER-Stage-v0" else {}
