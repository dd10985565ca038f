"""What a sentence reader first answers in three runs: plans in the manner of recorded dialogues, as templates.

    PLANS[name]()  ->  steps (sentence_reader.py)        RUNS[name]  ->  settings of the run

As a model that sees the picture, a plan knows which keypoints lie where on which object; lengths are computed from
their coordinates. Where a plan is wrong, sentences have to say so.
"""

from __future__ import annotations

from sentence_reader import Step

_HEAD = """import numpy as np


def get_interaction_data(keypoint_coordinates):
    k = {i: np.array(p, dtype=float) for i, p in keypoint_coordinates.items()}
"""
# The middle of the keypoints goes to the target; the line from the second to the first of them points along +x, or as
# it does now where the template keeps it.
_MOVE = """    {numbers}
    centre = sum(k[i] for i in ids) / 4
    along = k[ids[0]] - k[ids[1]]
    yaw = turn if keeps else turn - np.arctan2(along[1], along[0])
    c, s = np.cos(yaw), np.sin(yaw)
    rotation = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    for i in ids:
        k[i] = rotation @ (k[i] - centre) + target
"""
# As recorded: over the right end of the rack and down to the floor, in one push that does not turn the box.
OVER_THE_END = f"""{_HEAD}    ids = ["1", "2", "3", "4"]
    half_width = np.linalg.norm(k["3"] - k["4"]) / 2
    right_end_y = (k["15"] + k["18"])[1] / 2
    rack_top_z = (k["13"] + k["15"] + k["16"] + k["18"])[2] / 4
    target = sum(k[i] for i in ids) / 4
    target[1] = right_end_y - half_width
    target[2] -= rack_top_z
    keeps = True
{_MOVE}    return "shoe_box", ids, grasp, k"""
# A side of the box at the middle of the rack, where its centre was asked for.
OFF_THE_MIDDLE = f"""{_HEAD}    ids = ["1", "2", "3", "4"]
    half_width = np.linalg.norm(k["3"] - k["4"]) / 2
    middle = (k["13"] + k["15"] + k["16"] + k["18"]) / 4
    target = sum(k[i] for i in ids) / 4
    target[1] = middle[1] + half_width
    keeps = False
{_MOVE}    return "shoe_box", ids, grasp, k"""
LEFT_SHOE = f"""{_HEAD}    ids = ["5", "6", "7", "8"]
    height = sum(k[i] for i in ids)[2] / 4
    target = (k["13"] + k["15"] + k["16"] + k["18"]) / 4
    target[2] += height if height < target[2] else height - target[2]
    keeps = False
{_MOVE}    return "left_shoe", ids, grasp, k"""
RIGHT_SHOE = LEFT_SHOE.replace('["5", "6", "7", "8"]', '["9", "10", "11", "12"]').replace("left_shoe", "right_shoe")
# Upright, its spine to the robot like that of the standing book, at that one's left.
BOOK = f"""{_HEAD}    ids = ["1", "2", "3", "4"]
    fore, spine, top, bottom = (k[i] for i in ids)
    length = np.linalg.norm(top - bottom)
    width = np.linalg.norm(fore - spine)
    board_z = (k["11"] + k["12"] + k["13"] + k["14"])[2] / 4
    half_thickness = float(np.clip(sum(k[i] for i in ids)[2] / 4 - board_z, 0.012, 0.018))
    beside_y = (k["5"] + k["6"] + k["8"])[1] / 3
    target = np.array([k["6"][0] + width / 2, beside_y + half_thickness, board_z + length / 2 + 0.003])
    {{numbers}}
    out = np.array([np.cos(turn), np.sin(turn), 0.0]) * width / 2
    up = np.array([0.0, 0.0, length / 2])
    k["1"], k["2"], k["3"], k["4"] = target + out, target - out, target + up, target - up
    return "book", ids, grasp, k"""


def _shoes() -> list[Step]:
    """On the rack, toes forward, most of a shoe's width beside its middle."""
    return [
        Step("left_shoe", LEFT_SHOE, y=0.08, reference="rack"),
        Step("right_shoe", RIGHT_SHOE, y=-0.08, reference="rack"),
    ]


PLANS = {
    "recorded": lambda: [Step("shoe_box", OVER_THE_END, y=-0.05, grasp=False), *_shoes()],
    "snatch": lambda: [Step("shoe_box", OFF_THE_MIDDLE, grasp=False, reference="rack"), *_shoes()],
    "stow": lambda: [Step("book", BOOK, y=0.025)],
    "close": lambda: [Step("book", BOOK, y=0.025)],
}
_LIBRARY = (
    "on(book, platform, overhang_m=0.03) and upright(book) and facing(book, spine, robot) and "
    "unmoved(other_book, tolerance_m=0.05, tolerance_deg=20) and beside(book, other_book, max_gap_m={gap_m})"
)
RUNS = {
    "recorded": {
        "disturb": "snatch",
        "instruction": "Clear the rack, then put the pair of shoes on it",
        "success": (
            "on(left_shoe, rack, overhang_m=0.06) and on(right_shoe, rack, overhang_m=0.06) "
            "and beside(left_shoe, right_shoe, own_side=left) and parallel(left_shoe, right_shoe) "
            "and clear_of(left_shoe, shoe_box) and clear_of(right_shoe, shoe_box)"
        ),
    },
    "snatch": {"disturb": "snatch"},
    "stow": {
        "task": "book_stow",
        "instruction": (
            "Put the book that lies on the table next to the standing books on the shelf, like in a library."
        ),
        "success": _LIBRARY.format(gap_m=0.04),
    },
}
RUNS["close"] = {**RUNS["stow"], "success": _LIBRARY.format(gap_m=0.025)}
