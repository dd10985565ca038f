"""What a run shows on the screen: a line per stage, live progress while learning, a closing table.

It implements `loop.Display` with rich; on a dumb terminal or in a log file it prints plain lines.
"""

from __future__ import annotations

from types import TracebackType

from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn

from iker_agent.commands.terminal import is_plain, make_console, show_table
from iker_agent.learning.progress import TrainingRow
from iker_agent.records.record import RunResult, StageRecord
from iker_envs.judging.sentences import side_effects

_LOG_EVERY_S = 15.0  # without a terminal, one progress line in so many seconds


class Screen:
    """Prints a run; use as a context manager so that the progress bar is always cleaned up."""

    def __init__(self, budget_s: float) -> None:
        self.console = make_console()
        self.budget_s = budget_s
        self._bar: Progress | None = None
        self._logged_s = 0.0

    def __enter__(self) -> Screen:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None):
        self._stop()

    def stage(self, number: int, text: str) -> None:
        """A stage begins."""
        self._logged_s = 0.0
        self.console.print(f"[bold]stage {number}[/bold]  {escape(text)}")

    def learning(self, row: TrainingRow) -> None:
        """One update of the learner, or its look at a policy that was there before."""
        if not row.steps:
            rate = f"{100 * row.eval_strict:.0f} % strict success in fresh copies"
            self.console.print(f"  tried a ready policy: {rate}", soft_wrap=True)
            return
        if is_plain(self.console):
            if row.seconds - self._logged_s >= _LOG_EVERY_S:
                self._logged_s = row.seconds
                self.console.print(f"  learning: {_numbers(row)}", soft_wrap=True)
            return
        if self._bar is None:
            columns = (TextColumn(" "), BarColumn(12), TextColumn("{task.fields[numbers]}"))
            self._bar = Progress(*columns, console=self.console, transient=True)
            self._bar.add_task("", total=1.0, numbers="")
            self._bar.start()
        used = row.seconds / max(row.seconds + row.seconds_left, 1e-9)
        self._bar.update(self._bar.task_ids[0], completed=used, numbers=_numbers(row))

    def _stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def outcome(self, record: StageRecord) -> None:
        """A stage ended."""
        self._stop()
        if record.outcome is None:
            self.console.print(f"  [red]not carried out[/red]: {escape(record.problem)}", soft_wrap=True)
            return
        trained = ""
        if record.env_steps:
            trained = f", learned from {record.env_steps:,} steps in {record.learning_seconds:.0f} s"
        if record.ok:
            effects = side_effects(record.outcome.happened)
            error = f"keypoints {100 * record.outcome.goal_error_m:.1f} cm off{effects and f'; {effects}'}{trained}"
            self.console.print(f"  [green]success[/green]: {escape(error)}", soft_wrap=True)
        else:
            self.console.print(f"  [red]missed[/red]: {escape(record.outcome.reason)}{trained}", soft_wrap=True)

    def note(self, text: str) -> None:
        """Something worth knowing."""
        self.console.print(f"  [yellow]{escape(text)}[/yellow]", soft_wrap=True)

    def closing(self, result: RunResult, report: str) -> None:
        """The table of all stages and where the report is."""
        end = _end(result)
        numbers = [heading for heading in _COLUMNS if heading not in ("action", "success")]
        show_table(self.console, _COLUMNS, summary_rows(result), title=end, right=numbers)
        self.console.print(f"{result.seconds:.0f} s in all; report: {escape(report)}", soft_wrap=True)


def _end(result: RunResult) -> str:
    """How the run ended, in a line."""
    if result.success:
        return "task done"
    if result.success is None:
        return "the program says done; nothing says whether it is (--success would)"
    why = [result.reason] if result.reason else []
    why += [f"not fulfilled: {'; '.join(result.unmet)}"] if result.done and result.unmet else []
    return f"task not done: {'; '.join(why)}"


_COLUMNS = ("stage", "action", "tries", "steps", "seconds", "keypoints", "success")


def summary_rows(result: RunResult) -> list[tuple[str, ...]]:
    """One row per action, its tries put together; `keypoints` is their error, `success` the strict one."""
    groups: list[list[StageRecord]] = []
    for stage in result.stages:
        if groups and groups[-1][0].action == stage.action and not groups[-1][-1].ok:
            groups[-1].append(stage)
        else:
            groups.append([stage])
    rows: list[tuple[str, ...]] = []
    for tries in groups:
        last = tries[-1]
        number = f"{tries[0].number}-{last.number}" if len(tries) > 1 else str(last.number)
        error = f"{100 * last.outcome.goal_error_m:.1f} cm" if last.outcome else "-"
        steps = sum(t.env_steps for t in tries)
        seconds = sum(t.seconds for t in tries)
        counts = number, last.action or "-", str(len(tries)), f"{steps:,}", f"{seconds:.0f}"
        rows.append((*counts, error, "yes" if last.ok else "no"))
    return rows


def _numbers(row: TrainingRow) -> str:
    rates = f"success {100 * row.success:.0f} % (strict {100 * row.success_strict:.0f} %)"
    left = f"{row.seconds_left / 60:.1f} min" if row.seconds_left > 90 else f"{row.seconds_left:.0f} s"
    return f"{row.steps / 1000:,.0f} k steps, {rates}, {row.steps_per_s:,.0f}/s, {left} left"
