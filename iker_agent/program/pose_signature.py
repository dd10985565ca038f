"""The pose baseline of the IKER paper: the final pose of one object."""

from __future__ import annotations

from typing import Any

from iker_agent.program.answer import claim_or_values, match_object, read_grasp, read_object
from iker_agent.program.plausibility import out_of_reach
from iker_agent.program.rows import POSE_ROWS, Rows
from iker_agent.program.signature import Reading, Signature
from iker_agent.program.targets import merge, read_targets


class PoseSignature(Signature):
    """get_final_poses(object_poses): object -> x, y, z, roll, pitch, yaw in metres and radians."""

    def read(self, value: Any, originals: Rows, argument: Any = None) -> Reading:
        reading = Reading()
        values = claim_or_values(value, self, originals, argument, reading)
        if reading.is_claim:
            return reading
        name, grasp, rows = values
        reading.object = match_object(read_object(name, reading), originals, reading)
        reading.grasp = read_grasp(grasp, reading)
        reading.moving = (reading.object,)
        targets = read_targets(rows, self, originals, reading)
        reading.targets = merge(targets, self, originals, reading)
        return reading

    def implausible(self, reading: Reading, originals: Rows) -> str:
        return out_of_reach(reading, originals, self.rows)


POSES = PoseSignature(
    name="poses",
    function="get_final_poses",
    argument="object_poses",
    returns=("object_to_interact", "grasp_mode", "object_poses"),
    rows=POSE_ROWS,
    prompt="poses",
)
