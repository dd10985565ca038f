"""curve.png: how success, keypoint error and reward went while a policy learned.

    rows of the training log  ->  draw_curve  ->  PNG, three panels over environment steps

Each has a panel of its own, since their scales differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator, PercentFormatter

from iker_agent.learning.progress import TrainingRow

_BLUE = "#2c6fbb"
_ORANGE = "#d1681c"
_GREEN = "#2f8f3a"
_GREY = "#666666"
_SIZE_IN = (7.2, 6.4)
_DPI = 120
_LINE_WIDTH = 1.8  # points


def draw_curve(path: str | Path, rows: Sequence[TrainingRow]) -> None:
    """Strict success (exploring; deterministic where evaluated), keypoint error and rewards over environment steps."""
    figure = Figure(figsize=_SIZE_IN, dpi=_DPI, layout="constrained")
    if not rows:
        figure.text(0.5, 0.5, "no training: this policy is a fixed rule", ha="center", color=_GREY, fontsize=13)
        figure.savefig(path)
        return
    if not rows[-1].steps:
        best = f"no training was needed: a ready policy succeeds in {100 * rows[-1].eval_strict:.0f} % of fresh copies"
        figure.text(0.5, 0.5, best, ha="center", color=_GREY, fontsize=12)
        figure.savefig(path)
        return
    success, error, reward = figure.subplots(3, 1, sharex=True)
    _draw_success(success, rows)
    _draw_error(error, rows)
    _draw_rewards(reward, rows)
    for axis in (success, error, reward):
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    last = rows[-1]
    reward.set_xlabel(f"environment steps ({last.steps:,} in {last.seconds:.0f} s, {last.steps_per_s:,.0f} per second)")
    reward.set_xlim(0, 1.02 * max(last.steps, 1))
    reward.xaxis.set_major_formatter(EngFormatter(sep=""))
    figure.savefig(path)


def _draw_success(axis: Axes, rows: Sequence[TrainingRow]) -> None:
    _draw_line(axis, rows, [r.success_strict for r in rows], color=_BLUE, label="exploring")
    evaluated = [(r.steps, r.eval_strict) for r in rows if not np.isnan(r.eval_strict)]
    if evaluated:
        steps, rates = zip(*evaluated, strict=True)
        axis.plot(steps, rates, "o", color=_GREEN, clip_on=False, zorder=3, label="evaluated on fresh copies")
    axis.set_ylim(-0.02, 1.02)
    axis.set_yticks([0.0, 0.5, 1.0])
    axis.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
    axis.set_title("Strict success", loc="left", fontsize=11)
    # above the panel, where no line can run through it
    axis.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, frameon=False, borderaxespad=0.2, fontsize=10)


def _draw_error(axis: Axes, rows: Sequence[TrainingRow]) -> None:
    _draw_line(axis, rows, [100 * r.goal_error_m for r in rows], color=_ORANGE)
    axis.set_ylim(bottom=0)
    axis.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
    axis.set_title("Keypoint error when episodes end (cm)", loc="left", fontsize=11)


def _draw_rewards(axis: Axes, rows: Sequence[TrainingRow]) -> None:
    for name in dict.fromkeys(name for row in rows for name in row.rewards):
        _draw_line(axis, rows, [row.rewards.get(name, np.nan) for row in rows], label=name)
    axis.set_title("Reward per tick", loc="left", fontsize=11)
    names = axis.get_legend_handles_labels()
    axis.figure.legend(*names, loc="outside lower center", ncols=5, frameon=False, fontsize=9)  # room for many rows


def _draw_line(
    axis: Axes,
    rows: Sequence[TrainingRow],
    values: Sequence[float],
    *,
    color: str | None = None,
    label: str | None = None,
) -> None:
    """One value per row over the steps; a single row is a dot, since it makes no line."""
    marker = "o" if len(rows) == 1 else ""
    axis.plot([r.steps for r in rows], values, color=color, label=label, lw=_LINE_WIDTH, marker=marker)
