"""Data that every package reads: object models, tasks, prompts, presets. No code."""
