"""One YAML file per scripted disturbance: what happens, when, and the task it plays in (iker_agent/disturb.py)."""
