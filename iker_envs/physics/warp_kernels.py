"""Kernels of our own for MuJoCo Warp; Warp's compiler reads their annotations, which mypy cannot."""

# mypy: ignore-errors

import warp

LIMIT = 1e10  # mjMAXVAL: C MuJoCo calls numbers beyond it bad, too


@warp.kernel
def lead(
    before: warp.array2d[float],
    wanted: warp.array2d[float],
    substep: warp.array[int],
    control: warp.array2d[float],
):
    """Commands (N, K) on the straight way from `before` to `wanted` after `substep` = (passed, of so many)."""
    world, k = warp.tid()
    part = float(substep[0] + 1) / float(substep[1])
    control[world, k] = warp.lerp(before[world, k], wanted[world, k], part)


@warp.kernel
def count(substep: warp.array[int]):
    """One more has passed."""
    substep[0] = substep[0] + 1


@warp.kernel
def heal(
    start: warp.array2d[float],
    qpos: warp.array2d[float],
    qvel: warp.array2d[float],
    warmstart: warp.array2d[float],
    force: warp.array2d[float],
    unstable: warp.array[bool],
):
    """Put worlds whose numbers are not finite, or too large, to the initial state `start` (1, nq), and mark them."""
    world = warp.tid()
    bad = bool(False)  # noqa: UP018 (a variable, as Warp's compiler has it)
    for i in range(qpos.shape[1]):
        bad = bad or not (warp.abs(qpos[world, i]) < LIMIT)
    for i in range(qvel.shape[1]):
        bad = bad or not (warp.abs(qvel[world, i]) < LIMIT)
        bad = bad or not (warp.abs(warmstart[world, i]) < LIMIT)
    if bad:
        unstable[world] = True
        for i in range(qpos.shape[1]):
            qpos[world, i] = start[0, i]
        for i in range(qvel.shape[1]):
            qvel[world, i] = 0.0
            warmstart[world, i] = 0.0
            force[world, i] = 0.0
