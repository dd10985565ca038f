"""What a run prints: the closing table keeps its words whole on a terminal of 80 columns."""

from __future__ import annotations

from rich.console import Console

from iker_agent.commands.display import Screen
from iker_agent.records.record import RunResult, StageRecord


def test_closing_table_fits_80_columns():
    stages = [StageRecord(1, "grasp and place right_shoe", env_steps=987_654, seconds=154.2)]
    screen = Screen(budget_s=1.0)
    screen.console = Console(width=80, record=True, highlight=False)
    screen.closing(RunResult(success=True, seconds=155.0, stages=stages), "runs/shoe_rack_001/report.html")
    text = screen.console.export_text()
    for word in ("action", "tries", "steps", "seconds", "keypoint", "success", "grasp and place right_shoe", "987,654"):
        assert word in text
    assert max(map(len, text.splitlines())) <= 80
