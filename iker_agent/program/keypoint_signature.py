"""The contract of the IKER paper (Appendix B): new positions for the keypoints of one object."""

from __future__ import annotations

from typing import Any

from iker_agent.program.answer import claim_or_values, read_grasp, read_indices, read_object
from iker_agent.program.plausibility import out_of_reach, stretched
from iker_agent.program.rows import KEYPOINT_ROWS, Rows
from iker_agent.program.signature import Reading, Signature
from iker_agent.program.targets import merge, read_targets


class KeypointSignature(Signature):
    """get_interaction_data(keypoint_coordinates): label -> x, y, z in metres."""

    def read(self, value: Any, originals: Rows, argument: Any = None) -> Reading:
        reading = Reading()
        values = claim_or_values(value, self, originals, argument, reading)
        if reading.is_claim:
            return reading
        name, indices, grasp, rows = values
        reading.object = read_object(name, reading)
        reading.grasp = read_grasp(grasp, reading)
        reading.indices = reading.moving = read_indices(indices, originals, reading)
        targets = read_targets(rows, self, originals, reading)
        reading.targets = merge(targets, self, originals, reading)
        return reading

    def implausible(self, reading: Reading, originals: Rows) -> str:
        return out_of_reach(reading, originals, self.rows) or stretched(reading, originals)


KEYPOINTS = KeypointSignature(
    name="keypoints",
    function="get_interaction_data",
    argument="keypoint_coordinates",
    returns=("object_to_interact", "keypoint_indices_to_interact", "grasp_mode", "keypoint_coordinates"),
    rows=KEYPOINT_ROWS,
    prompt="multi_stage",
)
