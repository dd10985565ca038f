"""The process that cuts a mesh into convex parts: `python coacd_child.py FOLDER`, within its limits.

FOLDER/mesh.npz (vertices, faces) and FOLDER/limits.json  ->  FOLDER/parts.npz (vertices_0, faces_0, ...)

It stands alone: nothing of this package is imported, so that it starts fast.
"""

import json
import resource
import sys
from pathlib import Path


def main(folder: Path) -> None:
    """Set the limits, decompose, write the parts."""
    limits = json.loads((folder / "limits.json").read_text(encoding="utf-8"))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (limits["cpu_s"], limits["cpu_s"] + 5))
    resource.setrlimit(resource.RLIMIT_DATA, (limits["memory_bytes"], limits["memory_bytes"]))

    import coacd
    import numpy as np

    mesh = np.load(folder / "mesh.npz")
    coacd.set_log_level("error")
    shape = coacd.Mesh(mesh["vertices"], mesh["faces"])
    pieces = coacd.run_coacd(shape, threshold=limits["concavity"], max_convex_hull=limits["parts"], seed=0)
    names = ("vertices", "faces")
    arrays = {f"{name}_{k}": array for k, piece in enumerate(pieces) for name, array in zip(names, piece, strict=True)}
    np.savez(folder / "parts.npz", **arrays)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
