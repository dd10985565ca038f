"""VoxPoser (Huang et al., CoRL 2023) as a baseline: model-written value maps, composed into waypoints."""
