"""The agent: from what a camera sees and an instruction to targets, policies and actions."""
