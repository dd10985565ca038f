"""Presets: settings that differ from the defaults of iker_agent/config.py."""
