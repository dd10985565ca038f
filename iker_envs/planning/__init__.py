"""Where a hand or an object may go: boxes, grasps and pushes, without an engine."""
