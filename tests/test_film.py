"""Videos are drawn beside a run: the pictures are those of the moment, nothing waits for them, nothing is lost."""

import threading
from pathlib import Path

import gymnasium as gym
import imageio.v2 as imageio
import numpy as np
import pytest

from iker_agent.execute import execute
from iker_agent.records.film import Films
from iker_agent.records.run_folder import Folder

GUARD_S = 60


def colours(count: int) -> list[np.ndarray]:
    """Plain pictures of different brightness."""
    return [np.full((24, 32, 3), 40 + 30 * k, np.uint8) for k in range(count)]


def brightness(video: Path) -> list[int]:
    return [round(float(np.mean(frame)) / 10) for frame in imageio.mimread(video, memtest=False)]


@pytest.fixture(scope="module")
def world():
    env = gym.make("IKER-ShoePush-v0", render_mode="rgb_array").unwrapped
    yield env
    env.close()


def test_a_picture_that_is_drawn_later_in_a_thread_is_the_one_of_the_moment(world):
    world.reset(seed=3)
    expected = []
    later = []
    for k in range(3):
        expected.append(world.render())
        later.append(world.render_later())
        for _ in range(3):
            world.step(np.array([0.8, -0.5, -0.2, 0.1, 0.1, 0.3 * k], np.float32))
    world.reset(seed=4, options={"configuration": 7})  # other shoes now stand there
    drawn: list[np.ndarray] = []
    thread = threading.Thread(target=lambda: drawn.extend(draw() for draw in later))
    thread.start()
    world.step(np.zeros(6, np.float32))
    thread.join()
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
    drawn = []

    def draw(k):
        drawn.append(k)
        return pictures[k]

    films = Films()
    late = [lambda k=k: draw(k) for k in range(5)]
    films.add(Folder(tmp_path / "a"), [*late, late[-1], late[-1]], 5)
    films.add(Folder(tmp_path / "b"), pictures[::-1], 5)
    films.wait(lambda text: None)
    films.close()
    assert brightness(tmp_path / "a/rollout.mp4") == [4, 7, 10, 13, 16, 16, 16]
    assert brightness(tmp_path / "b/rollout.mp4") == [16, 13, 10, 7, 4]
    assert drawn == [0, 1, 2, 3, 4], "a frame that is repeated is drawn once"


def test_videos_that_are_given_up_leave_those_that_are_done(tmp_path):
    begun = threading.Event()
    wanted = threading.Event()

    def slow():
        begun.set()
        wanted.wait(GUARD_S)
        return colours(1)[0]

    films = Films()
    films.add(Folder(tmp_path / "done"), colours(2), 5)
    films.add(Folder(tmp_path / "cut"), [slow, *colours(2)], 5)
    films.add(Folder(tmp_path / "never"), colours(2), 5)
    assert begun.wait(GUARD_S)
    wanted.set()
    films.close()
    assert brightness(tmp_path / "done/rollout.mp4") == [4, 7]
    left = [p.name for p in tmp_path.rglob("*") if p.is_file()]
    assert [name for name in left if ".part" in name] == []


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), ValueError("no picture")])
def test_what_went_wrong_with_a_video_is_raised_in_the_end_and_the_others_are_there(tmp_path, error):
    def fail():
        raise error

    films = Films()
    films.add(Folder(tmp_path / "bad"), [fail], 5)
    films.add(Folder(tmp_path / "good"), colours(2), 5)
    with pytest.raises(type(error), match=str(error.args[-1])):
        films.wait(lambda text: None)
    films.close()
    assert brightness(tmp_path / "good/rollout.mp4") == [4, 7]
    assert not (tmp_path / "bad/rollout.mp4").exists()


def test_progress_is_told_while_pictures_are_drawn(tmp_path, monkeypatch):
    monkeypatch.setattr("iker_agent.records.film._TELL_S", 0.01)
    told: list[str] = []
    go_on = threading.Event()

    def slow():
        go_on.wait(GUARD_S)
        return colours(1)[0]

    def tell(text):
        told.append(text)
        go_on.set()

    films = Films()
    films.add(Folder(tmp_path), [*colours(2), slow], 5)
    films.wait(tell)
    assert told[0].endswith(" of 3 pictures are done")
