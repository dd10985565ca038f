"""Videos are drawn beside a run: the pictures are those of the moment, nothing waits for them, nothing is lost."""

import os
import pickle
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import gymnasium as gym
import imageio.v2 as imageio
import numpy as np
import pytest

from iker_agent.execute import execute
from iker_agent.records.film import FilmFault, Films
from iker_agent.records.run_folder import Folder
from iker_envs.priority import _SESSION

GUARD_S = 60


def colours(count: int) -> list[np.ndarray]:
    """Plain pictures of different brightness."""
    return [colour(k) for k in range(count)]


def colour(k: int) -> np.ndarray:
    return np.full((24, 32, 3), 40 + 30 * k, np.uint8)


def once(path: Path, k: int) -> np.ndarray:
    """Picture `k`, with a mark that it was drawn."""
    with path.open("a") as file:
        file.write(f"{k} ")
    return colour(k)


def after(path: Path, marks: Path) -> np.ndarray:
    """A picture that is ready when a file is there."""
    marks.touch()
    wait_until(path.exists)
    return colour(0)


def fail(error: Exception) -> np.ndarray:
    raise error


def wait_until(is_so) -> None:
    give_up_s = time.monotonic() + GUARD_S
    while not is_so():
        assert time.monotonic() < give_up_s
        time.sleep(0.02)


def brightness(video: Path) -> list[int]:
    return [round(float(np.mean(frame)) / 10) for frame in imageio.mimread(video, memtest=False)]


@pytest.fixture(scope="module")
def world():
    env = gym.make("IKER-ShoePush-v0", render_mode="rgb_array").unwrapped
    yield env
    env.close()


def test_a_picture_that_is_drawn_later_is_the_one_of_the_moment(world):
    world.reset(seed=3)
    expected = []
    later = []
    for k in range(3):
        expected.append(world.render())
        later.append(world.render_later())
        for _ in range(3):
            world.step(np.array([0.8, -0.5, -0.2, 0.1, 0.1, 0.3 * k], np.float32))
    world.reset(seed=4, options={"configuration": 7})  # other shoes now stand there
    for moments in (later, pickle.loads(pickle.dumps(later))):
        drawn = [draw() for draw in moments]
        assert all(np.array_equal(a, b) for a, b in zip(expected, drawn, strict=True))
        assert not np.array_equal(drawn[0], drawn[2])


class Still:
    """A policy that does nothing."""

    def act(self, observation):
        return np.zeros((len(observation), 6), np.float32)


class Live:
    """A world whose pictures cannot be drawn later, as a robot's."""

    def __init__(self, world):
        self._world = world
        self.pictures = 0

    def __getattr__(self, name):
        if name == "render_later":
            raise AttributeError(name)
        return getattr(self._world, name)

    def render(self):
        self.pictures += 1
        return np.full((24, 32, 3), self.pictures, np.uint8)


@pytest.mark.parametrize("video", [True, False])
def test_a_world_that_cannot_draw_later_is_pictured_as_it_acts(world, video):
    world.reset(seed=0, options={"look": True})
    live = Live(world)
    frames = execute(live, Still(), world.goal, video=video).frames
    assert [int(f[0, 0, 0]) for f in frames] == ([*range(1, 32), 32, 32, 32] if video else [])
    assert live.pictures == (32 if video else 0)


def test_without_a_video_no_moment_is_kept(world, monkeypatch):
    monkeypatch.setattr(world, "render_later", lambda: pytest.fail("a picture was prepared"))
    world.reset(seed=0, options={"look": True})
    assert execute(world, Still(), world.goal).frames == []


def test_videos_hold_pictures_drawn_or_not_in_order(tmp_path):
    pictures = colours(5)
    late = [partial(once, tmp_path / "drawn", k) for k in range(5)]
    films = Films()
    films.add(Folder(tmp_path / "a"), [*late, late[-1], late[-1]], 5)
    films.add(Folder(tmp_path / "b"), pictures[::-1], 5)
    films.add(Folder(tmp_path / "c"), pictures[:2], 5)
    films.wait(lambda text: None)
    films.close()
    assert brightness(tmp_path / "a/rollout.mp4") == [4, 7, 10, 13, 16, 16, 16]
    assert brightness(tmp_path / "b/rollout.mp4") == [16, 13, 10, 7, 4]
    assert brightness(tmp_path / "c/rollout.mp4") == [4, 7]
    drawn = (tmp_path / "drawn").read_text().split()
    assert sorted(drawn) == ["0", "1", "2", "3", "4"], "a frame that is repeated is drawn once"


def test_videos_that_are_given_up_leave_those_that_are_done_and_nothing_half_written(tmp_path, monkeypatch):
    monkeypatch.setattr("iker_agent.records.film._GIVE_UP_S", 1.0)
    films = Films()
    begun = tmp_path / "begun"
    films.add(Folder(tmp_path / "done"), colours(2), 5)
    films.add(Folder(tmp_path / "cut"), [colour(0), partial(after, tmp_path / "never comes", begun)], 5)
    films.add(Folder(tmp_path / "waiting"), colours(2), 5)
    wait_until((tmp_path / "done/rollout.mp4").exists)
    wait_until(begun.exists)
    films.close()
    assert brightness(tmp_path / "done/rollout.mp4") == [4, 7]
    assert [p.name for folder in ("cut", "waiting") for p in (tmp_path / folder).iterdir()] == []


def test_a_child_that_is_told_to_stop_while_it_imports_says_nothing(tmp_path):
    """Compiled modules turn what is raised amid their import into an ImportError of their own."""
    (tmp_path / "stopped.py").write_text(
        "import os, signal\n"
        "try:\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    job = [None for _ in range(1000)]\n"
        "except BaseException as error:\n"
        "    raise ImportError('initialization failed') from error\n"
    )
    child = [sys.executable, "-m", "iker_agent.records.film_child"]
    surroundings = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(child, input=b"cstopped\njob\n.", capture_output=True, env=surroundings, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGTERM, b"", b"")


@pytest.mark.parametrize(
    ("error", "kind"), [(OSError(28, "No space left on device"), OSError), (ValueError("no picture"), FilmFault)]
)
def test_what_went_wrong_with_a_video_is_raised_in_the_end_and_the_others_are_there(tmp_path, error, kind):
    films = Films()
    films.add(Folder(tmp_path / "bad"), [partial(fail, error)], 5)
    films.add(Folder(tmp_path / "good"), colours(2), 5)
    with pytest.raises(kind, match=f"{error.args[-1]}.*") as raised:
        films.wait(lambda text: None)
    films.close()
    assert str(tmp_path / "bad/rollout.mp4") in str(raised.value)
    assert brightness(tmp_path / "good/rollout.mp4") == [4, 7]
    assert not (tmp_path / "bad/rollout.mp4").exists()


def test_progress_is_told_while_pictures_are_drawn(tmp_path, monkeypatch):
    monkeypatch.setattr("iker_agent.records.film._TELL_S", 0.01)
    told: list[str] = []

    def tell(text):
        told.append(text)
        if "2 of 3" in text:
            (tmp_path / "go").touch()

    films = Films()
    films.add(Folder(tmp_path), [*colours(2), partial(after, tmp_path / "go", tmp_path / "begun")], 5)
    films.wait(tell)
    assert "drawing the videos: 2 of 3 pictures are done" in told


def weighed(path: Path) -> np.ndarray:
    """A picture, and the niceness of the process that draws it and of its session in a file."""
    path.write_text(f"{os.nice(0)} {_SESSION.read_text().split()[-1]}")
    return colour(0)


@pytest.mark.skipif(not _SESSION.exists(), reason="this system does not weigh sessions of processes")
def test_a_video_is_drawn_in_a_session_that_goes_after_the_run(tmp_path):
    films = Films()
    films.add(Folder(tmp_path), [partial(weighed, tmp_path / "nice")], 5)
    films.wait(lambda text: None)
    films.close()
    assert (tmp_path / "nice").read_text() == f"{min(os.nice(0) + 5, 19)} 5"


@pytest.mark.skipif(not _SESSION.exists(), reason="this system does not weigh sessions of processes")
def test_a_session_that_others_share_keeps_its_weight():
    before = _SESSION.read_text()
    code = "import os; from iker_envs.priority import lower_priority; lower_priority(5); print(os.nice(0))"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(child.stdout) == min(os.nice(0) + 5, 19)
    assert _SESSION.read_text() == before
