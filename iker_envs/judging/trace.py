"""What was seen of a stage in one world: where everything was, row by row, from before the grasp until all is still.

Poses are (x, y, z, qw, qx, qy, qz) in the base frame, metres. A simulation knows every row; a robot gives what it
estimates, with NaN where it knows nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from iker_envs.scene import Goal, Scene


@dataclass(frozen=True, eq=False)
class Trace:
    """T rows of one world with O movable objects. Row 0 is before the hand touched anything.

    `scene` holds models and furniture; where its movable objects stand means nothing. `moved` lists what somebody put
    elsewhere, as (row that shows it, object).
    """

    scene: Scene
    goal: Goal
    objects: tuple[str, ...]
    object_pose: np.ndarray  # (T, O, 7); a row of NaN repeats the one before
    hand_pose: np.ndarray  # (T, 7) end-effector frame; NaN where unknown
    contact_N: np.ndarray  # (T,) size of the net force on the gripper; NaN where nobody measures it
    begun: int  # the row in which the policy began
    released: int  # the row in which it ended; later rows: the hand lets go, withdraws, all comes to rest
    out_of_time: bool = False  # did the time limit end the policy?
    held: bool = False  # did the hand hold the object when the policy began?
    grasp_problem: str = ""  # why no grasp was tried, where that is so
    moved: tuple[tuple[int, str], ...] = ()
    pose_age_s: np.ndarray | None = None  # (T,) since pictures last confirmed the goal's object; None: truth
    pose_trusted: np.ndarray | None = None  # (T,) bool, was that pose trusted?

    def __post_init__(self) -> None:
        rows = len(self.object_pose)
        if self.object_pose.shape != (rows, len(self.objects), 7) or self.hand_pose.shape != (rows, 7):
            raise ValueError(
                f"a trace of {len(self.objects)} objects holds poses (T, {len(self.objects)}, 7) and hand poses "
                f"(T, 7), not {self.object_pose.shape} and {self.hand_pose.shape}"
            )
        if self.contact_N.shape != (rows,) or not 0 <= self.begun <= self.released < rows:
            raise ValueError(
                f"a trace of {rows} rows needs as many forces, not {self.contact_N.shape}, and 0 <= begun <= released "
                f"< {rows}, not {self.begun} and {self.released}"
            )
        if self.goal.object not in self.objects:
            raise ValueError(f"the goal's object {self.goal.object!r} is none of {', '.join(self.objects)}")
        if not np.isfinite(self.object_pose[[0, -1]]).all():
            raise ValueError("the first and the last row of a trace hold numbers, not NaN")
