"""Who carries out the trials of a sweep: this process, one after the other, or workers of Ray, here or on a cluster.

    trials, folder  ->  in_turn | on_ray  ->  (trial, record) or (trial, Failure) as each ends

One trial that fails does not stop the others. Ray is told to listen on loopback only, without dashboard and statistics.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from iker_agent.sweep.plan import Trial
from iker_agent.sweep.trial import run_trial

_WAIT_S = 1.0  # between looks at the signals of this process
_QUIET = {"RAY_USAGE_STATS_ENABLED": "0"}
# Ray takes 127.0.0.1 for a mistake and puts the machine's own address in its place, unless it is told that this is no
# cluster, by a variable that is named after the systems where that is so by default (ray/_private/ray_constants.py).
_LOCAL = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Failure:
    """Why a trial ended without a result: a sentence, and the traceback where there is one."""

    reason: str
    details: str = ""


Outcome = dict[str, Any] | Failure


def attempted(trial: Trial, folder: Path) -> Outcome:
    """`run_trial`, with an error of the trial told instead of raised."""
    try:
        return run_trial(trial, folder)
    except Exception as error:
        return Failure(_reason(error), traceback.format_exc())


def in_turn(trials: Sequence[Trial], folder: Path) -> Iterator[tuple[Trial, Outcome]]:
    """The trials one after the other, in this process."""
    for trial in trials:
        yield trial, attempted(trial, folder)


def on_ray(
    trials: Sequence[Trial], folder: Path, *, workers: int, address: str = ""
) -> Iterator[tuple[Trial, Outcome]]:
    """The trials on workers of Ray, in the order in which they end.

    Args:
        trials: what is to be done.
        folder: of the sweep; on a cluster one that its machines share.
        workers: CPUs of a Ray that is started here; each trial takes `trial.cpus` of them.
        address: of a cluster that runs already, such as "ray://head:10001" or "auto"; empty: start one here.

    Raises:
        ConnectionError: No cluster is found at the address.
    """
    os.environ.update(_QUIET if address else _QUIET | _LOCAL)  # before Ray is loaded, which reads them once
    import ray

    if address:
        ray.init(address=address, log_to_driver=False)
    else:
        ray.init(
            address="local",
            num_cpus=workers,
            include_dashboard=False,
            log_to_driver=False,
            configure_logging=False,
            _node_ip_address=LOOPBACK,
        )
    try:
        yield from _waited(ray, trials, folder.absolute())
    finally:
        ray.shutdown()


def _waited(ray: Any, trials: Sequence[Trial], folder: Path) -> Iterator[tuple[Trial, Outcome]]:
    remote = ray.remote(attempted)
    calls = {
        remote.options(num_cpus=trial.cpus, num_gpus=trial.gpus, max_retries=0, name=trial.name).remote(
            trial, folder
        ): trial
        for trial in trials
    }
    while calls:
        ready, _ = ray.wait(list(calls), num_returns=1, timeout=_WAIT_S)
        for call in ready:
            trial = calls.pop(call)
            try:
                yield trial, ray.get(call)
            except ray.exceptions.RayError as error:  # its process died, or its machine went away
                yield trial, Failure(f"its process ended: {_reason(error)}", str(error))


def _reason(error: BaseException) -> str:
    """The first line of an error, behind its kind where the kind says something."""
    line = next(iter(str(error).strip().splitlines()), "")
    return line if line and isinstance(error, ValueError) else f"{type(error).__name__}: {line}".rstrip(": ")
