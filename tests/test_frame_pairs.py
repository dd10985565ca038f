"""Of a camera's sets of frames only those count in which colour and depth are both new."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from real_env.realsense import NewPairs


@dataclass(frozen=True)
class Picture:
    number: int
    stamp_ms: float

    def get_frame_number(self) -> int:
        return self.number

    def get_timestamp(self) -> float:
        return self.stamp_ms


@dataclass(frozen=True)
class Frames:
    """What a pipeline gives; None where a stream has given nothing yet."""

    depth: Picture | None
    colour: Picture | None

    def get_depth_frame(self) -> Picture | None:
        return self.depth

    def get_color_frame(self) -> Picture | None:
        return self.colour


def counted(*numbers: tuple[int | None, int | None]) -> list[bool]:
    """Which of some sets, told by the numbers of their depth and colour, count."""
    picture = lambda number: None if number is None else Picture(number, 33.3 * number)  # noqa: E731
    pairs = NewPairs()
    return [pairs.has(Frames(picture(depth), picture(colour))) for depth, colour in numbers]


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        (((1, 1), (2, 2), (3, 3)), [True, True, True]),
        (((1, 1), (2, 1), (2, 2)), [True, False, True]),  # depth first, its colour with the next set
        (((1, 1), (1, 2), (2, 2), (3, 3)), [True, False, True, True]),  # colour first
        (((1, 1), (1, 1)), [True, False]),
        (((None, 1), (1, None), (1, 1)), [False, False, True]),
        (((1, 1), (1, 2), (1, 3), (1, 4)), [True, False, False, False]),  # depth has stopped
    ],
    ids=["usual", "depth first", "colour first", "repeated", "one alone", "frozen depth"],
)
def test_a_set_counts_where_both_pictures_are_new(numbers, expected):
    assert counted(*numbers) == expected


def test_a_camera_that_counts_nothing_is_told_by_its_stamps():
    pairs = NewPairs()
    stamps = [10.0, 10.0, 43.3]
    assert [pairs.has(Frames(Picture(0, t), Picture(0, t))) for t in stamps] == [True, False, True]
