"""For authors of tasks: whether a task is sound, and what it looks like."""
