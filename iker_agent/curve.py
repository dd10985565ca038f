"""curve.png: how success and keypoint error went while a policy learned."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from iker_agent.learning.progress import Row

_BLUE, _ORANGE, _GREEN = "#2c6fbb", "#d1681c", "#3a923a"


def draw_curve(path: str | Path, rows: Sequence[Row]) -> None:
    """Strict success (exploring, and deterministic where evaluated) and keypoint error over environment steps."""
    figure = Figure(figsize=(7.2, 3.6), dpi=100, layout="constrained")
    axis = figure.add_subplot()
    axis.set(ylim=(-0.02, 1.02), ylabel="strict success", xlabel="environment steps (thousands)")
    axis.grid(alpha=0.3)
    if not rows:
        axis.text(0.5, 0.5, "no training: this policy is a fixed rule", ha="center", transform=axis.transAxes)
        figure.savefig(path)
        return
    steps = np.array([r.steps for r in rows]) / 1e3
    axis.plot(steps, [r.success_strict for r in rows], color=_BLUE, label="strict success, exploring")
    evaluated = [(s, r.eval_strict) for s, r in zip(steps, rows, strict=True) if not np.isnan(r.eval_strict)]
    if evaluated:
        axis.plot(*zip(*evaluated, strict=True), "o", color=_GREEN, label="strict success, on fresh copies")
    errors = axis.twinx()
    errors.plot(steps, [100 * r.goal_error_m for r in rows], color=_ORANGE, lw=1, label="keypoint error")
    errors.set(ylabel="keypoint error (cm)", ylim=(0, None))
    handles = [h for a in (axis, errors) for h in a.get_legend_handles_labels()[0]]
    axis.legend(handles=handles, loc="center right", frameon=False)
    seconds = rows[-1].seconds
    axis.set_title(f"{rows[-1].steps:,} steps in {seconds:.0f} s ({rows[-1].steps_per_s:.0f} steps/s)", fontsize=10)
    figure.savefig(path)
