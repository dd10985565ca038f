"""Engines behind the Sim door, and what only an engine can tell: models, contact, scenes at rest."""
