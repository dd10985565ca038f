"""Could any scene want these targets? What needs no geometry of the scene is told before the check of goals.

In: targets that keep to a contract, and the rows that the program was given. Out: one sentence, or nothing. Whether a
place is free, supported, in reach of the hand is for `iker_agent.asking.goals` to say.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

from iker_agent.program.answer import STILL_M, row_distance
from iker_agent.program.signatures import Contract, Rows

STRETCH_M = 0.05  # change of the distance between two keypoints of one object; less may be rounding
STRETCH = 0.5  # the same for near keypoints, as a part of their distance
BELOW_M = 0.05  # under the table, which is z = 0 of the base frame
FAR_M = 1.0  # from the base; the xArm7 reaches 0.691 m from its shoulder, 0.267 m above it (vendor's data sheet)


def nonsense(targets: Rows, listed: Sequence[str], originals: Rows, contract: Contract) -> str:
    """Why the targets of the labels in `listed` can be wanted nowhere; empty when they may be."""
    noun = contract.noun
    moving = [label for label in listed if row_distance(targets[label], originals[label]) > STILL_M]
    if not moving:
        return "nothing moves; return None if the instruction is fulfilled"
    for label in moving:
        distance = math.hypot(*targets[label][:3])
        z = targets[label][2]
        if distance > FAR_M:
            return f"the target of {noun} {label} is {distance:.2f} m from the robot, out of its reach"
        if z < -BELOW_M:
            return f"the target of {noun} {label} is {-100 * z:.0f} cm below the table"
    if noun == "keypoint":
        for a, b in combinations(listed, 2):
            before = math.dist(originals[a], originals[b])
            after = math.dist(targets[a], targets[b])
            if abs(after - before) > min(STRETCH_M, STRETCH * before):
                return (
                    f"keypoints {a} and {b} are {100 * before:.0f} cm apart and would end {100 * after:.0f} cm apart; "
                    "list the keypoints of one object only, and keep the distances between all of them"
                )
    return ""
