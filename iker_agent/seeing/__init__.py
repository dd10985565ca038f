"""From a view to what a model sees: poses, keypoints, marks."""
