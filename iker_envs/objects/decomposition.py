"""A mesh is cut into convex parts for contact by CoACD, in a process of its own with limits on time and memory.

Wei et al. 2022, "Approximate Convex Decomposition for 3D Meshes with Collision-Aware Concavity". How long it takes
depends on the mesh: seconds for some thousand faces, a minute for 150 000, and without end for some broken ones. A
mesh that takes longer is refused: with its convex hull in the place of its parts, a cup could no longer be grasped by
its wall, and what a world is made of must not depend on how fast a machine is.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from iker_envs.objects.triangles import Mesh

MAX_PARTS = 8
MAX_CPU_S = 60  # of all threads together
MAX_MEMORY_BYTES = 8 << 30
_MAX_WALL_S = 900.0  # of a process that waits, on a machine that is busy with other things
_CONCAVITY = 0.08  # CoACD's threshold: coarse, a hand-sized cup becomes its wall in a handful of parts
_CHILD = Path(__file__).with_name("coacd_child.py")

_log = logging.getLogger(__name__)


def is_available() -> bool:
    """Is coacd installed?"""
    return find_spec("coacd") is not None


def convex_parts(mesh: Mesh, what: str) -> list[Mesh]:
    """At most 8 convex parts of a closed mesh; `what` it is appears in progress and errors.

    ValueError if the limits do not suffice.
    """
    vertices, faces = mesh
    _log.info(
        "cutting %s, %d faces, into convex parts; this takes at most %d s of CPU time", what, len(faces), MAX_CPU_S
    )
    with TemporaryDirectory(prefix="iker-mesh-") as name:
        folder = Path(name)
        np.savez(folder / "mesh.npz", vertices=np.asarray(vertices, dtype=float), faces=np.asarray(faces, np.int32))
        limits = {
            "cpu_s": MAX_CPU_S,
            "memory_bytes": MAX_MEMORY_BYTES,
            "concavity": _CONCAVITY,
            "parts": MAX_PARTS,
        }
        (folder / "limits.json").write_text(json.dumps(limits), encoding="utf-8")
        _run(folder, what)
        arrays = np.load(folder / "parts.npz")
        parts = [(arrays[f"vertices_{k}"], arrays[f"faces_{k}"]) for k in range(len(arrays.files) // 2)]
    _log.info("%s became %d convex parts", what, len(parts))
    return parts


def _run(folder: Path, what: str) -> None:
    """Run the child; ValueError unless it wrote its parts."""
    command = [sys.executable, "-P", str(_CHILD), str(folder)]  # -P: its folder is not where modules are looked for
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}  # unused, but each thread reserves memory
    try:
        done = subprocess.run(command, capture_output=True, timeout=_MAX_WALL_S, env=environment, check=False)
    except subprocess.TimeoutExpired:
        raise _too_long(what) from None
    if done.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
        raise _too_long(what)
    if done.returncode or not (folder / "parts.npz").exists():
        last = (done.stderr.decode("utf-8", "replace").strip().splitlines() or ["no message"])[-1]
        raise ValueError(
            f"{what} could not be cut into convex parts ({last[:200]}); simplify it, or decimate it to fewer faces"
        )


def _too_long(what: str) -> ValueError:
    return ValueError(
        f"cutting {what} into convex parts takes longer than {MAX_CPU_S} s of CPU time; decimate it (20 000 faces are "
        "plenty for contact), or fill what is hollow where nothing needs to go in"
    )
