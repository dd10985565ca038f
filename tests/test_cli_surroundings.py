"""The command in its surroundings: signals, missing libraries, pipes, narrow windows, poor encodings, full disks."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from importlib.metadata import requires
from pathlib import Path

import pytest
from chat_server import ChatServer

from iker_agent.commands.ending import EXTRAS, NOT_DONE, USAGE, explained
from iker_agent.records.reading import read_run

IKER = (sys.executable, "-m", "iker_agent")
GUARD_S = 120  # a hanging process fails the test instead of stopping it
posix = pytest.mark.skipif(os.name != "posix", reason="signals are sent the POSIX way")

# Put before everything else into a process: modules that are not there, and one whose import never ends.
SITE = """
import os, pathlib, sys, time
class Finder:
    def find_spec(self, name, path=None, target=None):
        library = name.partition(".")[0]
        if library in os.environ.get("MISSING", "").split():
            raise ModuleNotFoundError(f"No module named {library!r}", name=library)
        if name == os.environ.get("ENDLESS"):
            with pathlib.Path(os.environ["REACHED"]).open("a") as file:
                file.write("x")
            time.sleep(600)
sys.meta_path.insert(0, Finder())
"""
