"""Is there what sim=isaac needs? Interpreter, libraries, binary, driver, and at last one world that is stepped.

examine()  ->  Findings, one a line; what cannot be looked at because of an earlier one is left out
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from iker_envs.optics import default_cameras
from iker_envs.physics.isaac.client import DEVICE, IsaacSim, find_device
from iker_envs.physics.isaac.errors import IsaacError, WorkerMissing
from iker_envs.physics.isaac.launch import PYTHON, interpreter, surroundings
from iker_envs.scene import HOME_GRIPPER_QUATERNION, ObjectModel, Scene, SceneObject, upright_pose
from iker_envs.sim import WorldReset

_DRIVER = Path("/proc/driver/nvidia/version")
_PROBE_S = 120.0
# Isaac Gym prints while it is imported, so the answer is the last line. It has to be imported before torch.
_PROBE = """
import json, sys
found = {"version": list(sys.version_info[:3])}
def look(name):
    try:
        module = __import__(name)
        found[name] = getattr(module, "__version__", None) or (getattr(module, "__file__", None) or "")
    except Exception as error:
        found[name + "_fault"] = "{}: {}".format(type(error).__name__, " ".join(str(error).split()))
look("numpy")
look("isaacgym.gymapi")
look("torch")
print()
print(json.dumps(found))
"""


@dataclass(frozen=True)
class Finding:
    """One line: what was looked at, whether it is fine, what was found, and what to do if it is not."""

    what: str
    fine: bool
    found: str
    way_out: str = ""

    def __str__(self) -> str:
        mark = "ok " if self.fine else "BAD"
        return f"{mark} {self.what}: {self.found}" + ("" if self.fine or not self.way_out else f"; {self.way_out}")


def examine() -> Iterator[Finding]:
    """Findings one after the other."""
    linux = sys.platform == "linux" and os.path.isdir("/dev/shm")
    yield Finding("system", linux, "Linux with /dev/shm" if linux else sys.platform, "Isaac Gym is for Linux only")
    if not linux:
        return
    try:
        python = interpreter()
    except WorkerMissing as error:
        yield Finding(
            "interpreter",
            False,
            str(error).split("; `iker doctor")[0],
            f"for example: pyenv install 3.8.18 && export {PYTHON}=$(pyenv prefix 3.8.18)/bin/python",
        )
        yield from _driver()
        return
    yield from _inside(python)


def _inside(python: str) -> Iterator[Finding]:
    """What the interpreter has, and whether it works together."""
    found = _probe(python)
    if isinstance(found, str):
        yield Finding("interpreter", False, f"{python}: {found}", f"set {PYTHON} to a Python 3.8")
        yield from _driver()
        return
    version = ".".join(map(str, found["version"]))
    fits = found["version"][:2] == [3, 8]
    way_out = f"the binary of Isaac Gym Preview 4 is for Python 3.6 to 3.8: set {PYTHON} to a Python 3.8"
    findings = [
        Finding("interpreter", fits, f"{python}, Python {version}", way_out),
        _module(found, "numpy", f"{python} -m pip install 'numpy==1.23.5'"),
        _module(
            found,
            "isaacgym.gymapi",
            "get Isaac Gym Preview 4 from developer.nvidia.com/isaac-gym (a login is asked for), unpack it, and run "
            f"{python} -m pip install -e isaacgym/python",
        ),
        _module(found, "torch", f"{python} -m pip install 'torch==2.4.1'"),
        *_driver(),
    ]
    yield from findings
    # Another Python can have a double of isaacgym, with which everything but the physics can be tried.
    if all(finding.fine for finding in findings[1:]):
        yield _trial()


def _probe(python: str) -> dict[str, Any] | str:
    """What an interpreter says of itself, or why it says nothing."""
    try:
        done = subprocess.run(
            [python, "-c", _PROBE],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_PROBE_S,
            stdin=subprocess.DEVNULL,
            env=surroundings(python),
        )
    except subprocess.TimeoutExpired:
        return f"gave no answer within {_PROBE_S:g} s"
    except OSError as error:
        return f"cannot be run: {error.strerror}"
    try:
        found = json.loads((done.stdout.split("\n") or [""])[-2])
    except (IndexError, ValueError):
        last = (done.stderr.strip() or done.stdout.strip() or "no word").splitlines()[-1][:200]
        return f"is no Python that works (exit code {done.returncode}): {last}"
    return found if isinstance(found, dict) and "version" in found else "is no Python that works"


def _module(found: dict[str, Any], name: str, way_out: str) -> Finding:
    if name in found:
        return Finding(name.split(".")[0], True, found[name])
    return Finding(name.split(".")[0], False, found[f"{name}_fault"], way_out)


def _driver() -> Iterator[Finding]:
    try:
        where = find_device()
    except ValueError as error:
        yield Finding("device", False, str(error), f"unset {DEVICE}, or set it to cpu or cuda:0")
        return
    if _DRIVER.exists():
        yield Finding("driver", True, _DRIVER.read_text(encoding="utf-8").splitlines()[0])
    elif os.environ.get(DEVICE) == "cpu":
        yield Finding("driver", True, f"none, and {DEVICE}=cpu asks for none")
    else:
        yield Finding(
            "driver",
            False,
            f"no NVIDIA driver is loaded ({_DRIVER} is not there), device {where}",
            f"install NVIDIA's driver, 470 or later, or export {DEVICE}=cpu for PhysX on the CPU",
        )


def _trial() -> Finding:
    """One box falls for 0.2 s."""
    box = ObjectModel("box", "box", np.array([0.1, 0.1, 0.1]), 0.5)
    start = upright_pose(np.array([0.45, 0.0, 0.3]))
    scene = Scene((SceneObject(box, start),), default_cameras(), np.array([[0.2, -0.4, 0.0], [0.7, 0.4, 0.5]]))
    hand = np.array([[0.2, -0.4, 0.6, *HOME_GRIPPER_QUATERNION]])
    zero = np.zeros(1)
    try:
        sim = IsaacSim(scene, 1, num_threads=1)
        try:
            sim.reset(np.arange(1), WorldReset(hand, zero, start[None, None], zero))
            sim.step(hand, zero, round(0.2 / sim.substep_s))
            fallen = 0.3 - float(sim.state().object_pose[0, 0, 2])
        finally:
            sim.close()
    except IsaacError as error:
        return Finding("trial", False, str(error), "what the worker says above is Isaac Gym's own error")
    return Finding(
        "trial",
        0.15 < fallen < 0.25,
        f"a box fell {1000 * fallen:.0f} mm in 0.2 s, 196 mm are right",
        "`python benchmarks/sim_parity.py --sim isaac` looks closer",
    )
