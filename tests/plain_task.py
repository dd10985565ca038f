"""A small task as a YAML file holds it: a box beside a rack, one stage, no programs."""

TASK = {
    "name": "plain",
    "id": "IKER-Plain-v0",
    "description": "One line.",
    "workspace_m": [[0.2, -0.45, 0.02], [0.7, 0.45, 0.4]],
    "instruction": "Move the box",
    "objects": {
        "rack": {"model": "low_rack", "position_m": [0.66, 0, 0], "movable": False},
        "box": {"model": "shoe_box", "position_m": [0.4, 0.1, 0]},
    },
    "stages": [{"goal": {"object": "box", "relative_to": "rack", "position_m": [0, 0.2, 0.1]}}],
}
