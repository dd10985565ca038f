"""The verbs of the `iker` command: they read settings, call one function and print."""
