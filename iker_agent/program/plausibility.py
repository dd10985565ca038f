"""Could any scene want these targets? What needs no geometry of the scene is told before the check of goals.

In: targets that keep to a contract, and the rows that the program was given. Out: one sentence, or nothing. Whether a
place is free, supported, in reach of the hand is for `iker_agent.asking.goals` to say.
"""

from __future__ import annotations

import math
from itertools import combinations

from iker_agent.program.rows import RowKind, Rows, has_moved
from iker_agent.program.signature import Reading

STRETCH_M = 0.05  # change of the distance between two keypoints of one object; less may be rounding
STRETCH = 0.5  # the same for near keypoints, as a part of their distance
BELOW_M = 0.05  # under the table, which is z = 0 of the base frame
FAR_M = 1.0  # from the base; the xArm7 reaches 0.691 m from its shoulder, 0.267 m above it (vendor's data sheet)


def out_of_reach(reading: Reading, originals: Rows, kind: RowKind) -> str:
    """Nothing moves, or something would go out of the robot's reach or under the table; else empty."""
    targets = reading.targets
    moving = [label for label in reading.moving if has_moved(targets[label], originals[label])]
    if not moving and reading.ignored:
        return f"nothing moves, and {reading.ignored[0]!r} is no {kind.noun}; use the labels that you are given"
    if not moving:
        return "nothing moves; return None if the instruction is fulfilled"
    for label in moving:
        distance = math.hypot(*targets[label][:3])
        z = targets[label][2]
        if distance > FAR_M:
            return f"the target of {kind.noun} {label} is {distance:.2f} m from the robot, out of its reach"
        if z < -BELOW_M:
            return f"the target of {kind.noun} {label} is {-100 * z:.0f} cm below the table"
    return ""


def stretched(reading: Reading, originals: Rows) -> str:
    """Two keypoints that the program lists together would not keep their distance; else empty."""
    for a, b in combinations(reading.moving, 2):
        before = math.dist(originals[a], originals[b])
        after = math.dist(reading.targets[a], reading.targets[b])
        if abs(after - before) > min(STRETCH_M, STRETCH * before):
            return (
                f"keypoints {a} and {b} are {100 * before:.0f} cm apart and would end {100 * after:.0f} cm apart; "
                "list the keypoints of one object only, and keep the distances between all of them"
            )
    return ""
