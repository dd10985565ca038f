"""One trial of a sweep: trained, or trained further, evaluated, and left behind as one file that is whole or absent.

    Trial, folder of the sweep  ->  run_trial  ->  result.json's content            finished  ->  the same, or None

A trial that was killed goes on from its checkpoint; what ended well is never begun again.
"""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from iker_agent.learning.policy_files import load_policy
from iker_agent.learning.task_evaluation import measure, write_record
from iker_agent.learning.task_training import POLICY, TaskTraining
from iker_agent.learning.training_folder import CHECKPOINT
from iker_agent.limits import Unusable
from iker_agent.records.run_folder import locked
from iker_agent.sweep.plan import Trial

RESULT = "result.json"
TRIALS = "trials"
_LOCK_S = 30.0  # a process that was killed a moment ago may take so long to let go of its folder
_LOCK_RETRY_S = 0.2


def trial_folder(trial: Trial, sweep_folder: Path) -> Path:
    """Where a trial's training and result lie."""
    return sweep_folder / TRIALS / trial.name


def finished(trial: Trial, sweep_folder: Path) -> dict[str, Any] | None:
    """The result of a trial that has ended well, else None; Unusable if its file is damaged."""
    path = trial_folder(trial, sweep_folder) / RESULT
    if not path.exists():
        return None
    try:
        record = json.loads(path.read_text("utf-8"))
        if record["hash"] != trial.hash:
            raise ValueError(f"it is of {record['hash']!r}")
    except (ValueError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise Unusable(f"{str(path)!r} is damaged ({error}); remove it to train the trial again") from None
    return record


def run_trial(trial: Trial, sweep_folder: Path) -> dict[str, Any]:
    """Train and evaluate; the content of result.json, which is written last. KeyboardInterrupt if it was stopped."""
    folder = trial_folder(trial, sweep_folder)
    with ExitStack() as stack:
        _hold(stack, folder)
        if (done := finished(trial, sweep_folder)) is not None:
            return done
        _train(trial, folder)
        header = _header(folder)
        measured = measure(replace(trial.evaluation, policy=str(folder / POLICY)))
        record = {
            "hash": trial.hash,
            "variant": trial.variant,
            "steps": header["env_steps"],
            "minutes": header["seconds"] / 60.0,
            "good_enough": header["good_enough"],
            "settings": asdict(trial.settings),
            "evaluation": {**measured.record, "policy": POLICY},
        }
        write_record(folder / RESULT, record)
        return record


def _hold(stack: ExitStack, folder: Path) -> None:
    """Hold the trial's folder until the stack is closed; Unusable if another process keeps it."""
    deadline = time.monotonic() + _LOCK_S
    while True:
        try:
            stack.enter_context(locked(folder))
            return
        except Unusable:
            if time.monotonic() > deadline:
                raise
        time.sleep(_LOCK_RETRY_S)


def _train(trial: Trial, folder: Path) -> None:
    """Train, or go on from the checkpoint, unless only the evaluation is missing."""
    learn = trial.settings.learn
    resume = (folder / CHECKPOINT).exists()
    if resume and (folder / POLICY).exists() and _header(folder)["good_enough"]:
        return
    threads = learn.num_threads or max(1, int(trial.cpus))
    settings = replace(trial.settings, learn=replace(learn, num_threads=threads))
    run = TaskTraining(settings, folder, resume=resume)
    run.run()
    if run.interrupted:
        raise KeyboardInterrupt


def _header(folder: Path) -> dict[str, Any]:
    """What the policy of a training says about itself."""
    return load_policy(folder / POLICY).header  # type: ignore[attr-defined]  # a network, since it was trained here
