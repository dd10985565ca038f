"""One policy for a task or a family of stages, in a folder that survives crashes: what `iker train` does.

    TaskTraining(settings, folder)  ->  run()  ->  policy.safetensors, metrics.csv, curve.png, config.yaml,
                                                   checkpoint.pt, events.out.tfevents... (TensorBoard)

The same Training as a stage of the loop; worlds draw their configuration anew in every episode.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from iker_agent.atomic import replace_file
from iker_agent.learning import distributed
from iker_agent.learning.checkpoint import write_checkpoint
from iker_agent.learning.curve import draw_curve
from iker_agent.learning.mixture import MixtureCopies, make_mixture
from iker_agent.learning.network import NetworkPolicy
from iker_agent.learning.progress import Report, TrainingRow, write_metrics
from iker_agent.learning.scalars import Scalars
from iker_agent.learning.shipped import stages_of
from iker_agent.learning.training import Training
from iker_agent.learning.training_folder import CHECKPOINT, TrainSettings, read_state, write_settings
from iker_agent.learning.training_worlds import arrays_for
from iker_agent.limits import Unusable
from iker_envs.sim import SimulationError

POLICY = "policy.safetensors"
METRICS = "metrics.csv"
CURVE = "curve.png"


class TaskTraining:
    """A run of `iker train`; only process 0 writes."""

    def __init__(self, settings: TrainSettings, folder: Path, *, resume: bool, report: Report | None = None) -> None:
        self.settings = settings
        self.folder = folder
        self.resume = resume
        self.report = report
        self.interrupted = False
        self.signals: list[int] = []  # those that asked for the end
        self._saved_s = 0.0  # when the last checkpoint was written, on the monotonic clock
        self._saved_steps = 0  # what it holds
        self._scalars: Scalars | None = None

    def run(self) -> NetworkPolicy:
        """Train, or go on training; Ctrl-C and SIGTERM end it after the update under way, with everything saved.

        Unusable if the folder has nothing to go on from, or cannot be written into; nothing is left half-written.
        """
        state = read_state(self.folder) if self.resume else None
        try:
            return self._run(state)
        except OSError as error:
            raise Unusable(self._unwritten(error)) from None
        except SimulationError as error:
            if not self._saved_steps:
                raise
            kept = (
                f"the training is there as it was after {self._saved_steps:,} steps: iker train --resume {self.folder}"
            )
            raise SimulationError(f"{error}; {kept}") from None

    def _run(self, state: Mapping[str, Any] | None) -> NetworkPolicy:
        torch.set_num_threads(1)  # as in ppo.py
        learn = self.settings.learn
        make = self._make()
        stages = stages_of(self.settings.task)
        judge = MixtureCopies(stages, learn.eval_envs, **make)
        env = make_mixture(stages, learn.num_envs, xp=arrays_for(learn.sim), **make)
        try:
            training = Training(
                env,
                learn,
                judge,
                seed=self.settings.seed,
                report=self._heard,
                start=None if state else self.settings.first_policy(),
                after_update=self._after_update,
            )
            training.policy.header |= {"task": self.settings.task, "randomisation": self.settings.randomisation}
            training.policy.header |= {"start": Path(self.settings.start).name}  # no folder of whoever trained it
            if state:
                self._restore(training, state)
            return self._train(training)
        finally:
            env.close()
            judge.close()

    def _restore(self, training: Training, state: Mapping[str, Any]) -> None:
        try:
            training.restore(state)
        except ValueError as error:
            raise Unusable(f"{str(self.folder / CHECKPOINT)!r} is damaged: {error}") from None
        self._saved_steps = training.progress.steps

    def _unwritten(self, error: OSError) -> str:
        """What is there when a file could not be written, in words."""
        if self._saved_steps:
            there = f"the training is there as it was after {self._saved_steps:,} steps: make room, then go on with "
            there += f"iker train --resume {self.folder}"
        else:
            there = "nothing of this training has been saved"
        where = f"{str(error.filename)!r} cannot be written" if error.filename else "the training cannot be written"
        return f"{where}: {error.strerror or error}; {there}"

    def _make(self) -> dict[str, Any]:
        s = self.settings
        threads = s.learn.num_threads or distributed.threads_per_process()
        kinds = {"observation": s.observation, "randomisation": s.randomisation}
        return {"num_threads": threads, "sim": s.learn.sim, **kinds}

    def _train(self, training: Training) -> NetworkPolicy:
        if distributed.rank() == 0:
            write_settings(self.folder, self.settings)
            self._scalars = Scalars(self.folder, training.progress.steps)
        self._saved_s = time.monotonic()
        with stopped_by_signals(training) as self.signals:
            policy = training.run()
        self.interrupted = training.stopping
        if self._scalars:
            self.save(training)
            self._scalars.close()
        return policy

    def _heard(self, row: TrainingRow) -> None:
        if self._scalars:
            self._scalars.add(row)
            if self.report:
                self.report(row)

    def _after_update(self, training: Training) -> None:
        due = time.monotonic() - self._saved_s >= self.settings.learn.checkpoint_every_s
        if due and self._scalars:
            self.save(training)

    def save(self, training: Training) -> None:
        """Write checkpoint, policy, metrics and curve, each all or nothing."""
        training.describe()
        write_checkpoint(self.folder / CHECKPOINT, training.state())
        rows = training.progress.rows
        replace_file(self.folder / POLICY, training.policy.save)
        replace_file(self.folder / METRICS, lambda path: write_metrics(path, rows))
        replace_file(self.folder / CURVE, lambda path: draw_curve(path, rows))
        self._saved_s = time.monotonic()
        self._saved_steps = training.progress.steps


@contextmanager
def stopped_by_signals(training: Training) -> Iterator[list[int]]:
    """Inside, the first Ctrl-C or SIGTERM asks the run to stop; a second one interrupts it as usual.

    Gives a list to which the number of the signal is added. A signal that is ignored (of a job in the background)
    stays ignored.
    """
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    before = {number: handler for number, handler in before.items() if handler not in (signal.SIG_IGN, None)}

    came: list[int] = []

    def ask(number: int, _: object) -> None:
        came.append(number)
        training.stopping = True
        signal.signal(number, before[signal.Signals(number)])

    for number in before:
        signal.signal(number, ask)
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
