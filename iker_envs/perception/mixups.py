"""Why pictures contradict each other: cameras taken for each other, a picture upside down or mirrored.

    View, Scene  ->  mixup  ->  one sentence, or "" if no such change makes the pictures agree

What one camera sees in front of the table, no other sees through, and none sees below the table. A change of places or
of a picture under which that holds, while it does not hold as things are, is what happened. The four stationary
cameras stand alike, so that the table alone does not tell them apart. Asked when poses were refused anyway.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from iker_envs.perception.rigid import apply, inverse
from iker_envs.perception.shots import Region, Shot, depth_std_m, empty_depth, foreground, is_smooth
from iker_envs.planning.collision import OrientedBox

_POINTS = 300  # of a picture's foreground
_BEHIND_M = 0.02
_BELOW_M = 0.04  # the table: more than a camera explains that was bumped
_MOST_PERMUTED = 5  # cameras of which all orders are tried: 120; of more, every two are exchanged
_CONTRADICTED = 0.25  # share from which something is wrong; right pictures: below 0.1, with things moved below 0.2
_AGREED = 0.15  # share up to which nothing is
_BETTER = 0.4  # times as much as things are
_FEWEST = 50  # points that two cameras could contradict each other in


@dataclass(frozen=True, eq=False)
class _Placed:
    """A picture taken to be that of a place: shot, foreground points (P, 3), share of it that lies below the table."""

    shot: Shot
    points: np.ndarray
    below: float


_CHANGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "upside down; turn it, or its picture": lambda a: a[::-1, ::-1],
    "mirrored left to right; turn that off in its driver": lambda a: a[:, ::-1],
    "mirrored top to bottom; turn that off in its driver": lambda a: a[::-1],
}


def mixup(shots: Sequence[Shot], boxes: Sequence[OrientedBox], region: Region) -> str:
    """One sentence on which cameras' pictures are another's, upside down or mirrored; empty if that explains nothing.

    `boxes` are those of the furniture.
    """
    as_is = [_placed(shot, boxes, region) for shot in shots]
    share_as_is = _contradiction(as_is)
    if share_as_is < _CONTRADICTED:
        return ""
    found = [*_exchanges(shots, boxes, region), *_changed(shots, as_is, boxes, region)]
    share, sentence = min(found, default=(1.0, ""))
    return sentence if share < min(_AGREED, _BETTER * share_as_is) else ""


def _exchanges(shots: Sequence[Shot], boxes: Sequence[OrientedBox], region: Region) -> Iterator[tuple[float, str]]:
    """Share of contradictions and sentence, for every order of the cameras."""
    placed = {}
    for one, place in itertools.product(range(len(shots)), repeat=2):
        shot = replace(shots[one], T=shots[place].T)
        if shots[one].depth.shape == shots[place].depth.shape:
            shot = replace(shot, K=shots[place].K)
        placed[one, place] = _placed(shot, boxes, region)
    for order in _orders(len(shots)):
        share = _contradiction([placed[one, place] for one, place in enumerate(order)])
        names = [shot.name for shot, place, own in zip(shots, order, range(len(shots)), strict=True) if place != own]
        listed = f"{', '.join(names[:-1])} and {names[-1]}"
        yield (
            share + 0.001 * len(names),
            f"the pictures of cameras {listed} seem exchanged: as they are they contradict each other, exchanged they "
            "agree; exchange their cables, or their serials in the settings",
        )


def _orders(count: int) -> Iterator[tuple[int, ...]]:
    """For every picture the camera whose place is its own; not the order as it is."""
    own = tuple(range(count))
    if count <= _MOST_PERMUTED:
        yield from (order for order in itertools.permutations(own) if order != own)
        return
    for one, other in itertools.combinations(own, 2):
        yield tuple({one: other, other: one}.get(k, k) for k in own)


def _changed(
    shots: Sequence[Shot], as_is: Sequence[_Placed], boxes: Sequence[OrientedBox], region: Region
) -> Iterator[tuple[float, str]]:
    """Share of contradictions and sentence, with one picture or all of them turned or mirrored."""
    for what, change in _CHANGES.items():
        turned = [_placed(replace(s, rgb=change(s.rgb), depth=change(s.depth)), boxes, region) for s in shots]
        for k, shot in enumerate(shots):
            one = [turned[k] if k == n else p for n, p in enumerate(as_is)]
            yield _contradiction(one) + 0.001, f"the picture of camera {shot.name} seems {what}"
        every = what.replace("it, or its picture", "them, or their pictures").replace("its", "their")
        yield _contradiction(turned) + 0.002, f"the pictures of all cameras seem {every}"


def _placed(shot: Shot, boxes: Sequence[OrientedBox], region: Region) -> _Placed:
    known = empty_depth(shot, boxes)
    points = shot.points(foreground(shot, known, region) & is_smooth(shot.depth))
    measured = (shot.depth > 0) & np.isfinite(known)
    below = measured & (shot.depth > known + _BELOW_M + 3 * depth_std_m(shot.depth))
    few = np.random.default_rng(0).permutation(len(points))[:_POINTS]
    return _Placed(shot, points[few], float(below.sum() / max(measured.sum(), 1)))


def _contradiction(placed: Sequence[_Placed]) -> float:
    """Of the points that one camera sees in front of the table, the share that others see through; and what lies below
    the table, of all that is seen."""
    through = counted = 0
    for one, other in itertools.permutations(placed, 2):
        local = apply(inverse(other.shot.T), one.points)
        row, column, is_inside = other.shot.project(local)
        measured = other.shot.depth[row, column]
        could = is_inside & (measured > 0)
        counted += int(could.sum())
        through += int((could & (measured > local[:, 2] + _BEHIND_M + 3 * depth_std_m(local[:, 2]))).sum())
    share = through / counted if counted >= _FEWEST else 1.0
    return share + float(np.mean([p.below for p in placed]))
