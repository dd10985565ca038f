"""One YAML file per task."""
