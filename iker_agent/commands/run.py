"""What `iker run` and `iker replay` do once their settings are put together.

start_run(config, out)       ->  run folder with report, exit code
replay_run(folder, out)      ->  the run again from its record, goals compared bit by bit
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

from rich.markup import escape

from iker_agent.backends import make_vlm, told
from iker_agent.commands.display import Screen
from iker_agent.config import RunConfig, make_config
from iker_agent.disturb import chosen_task
from iker_agent.learners import Learner, make_learner
from iker_agent.learning.policy_files import load_policy
from iker_agent.loop import run_task
from iker_agent.records.record import RunResult
from iker_agent.records.report import write_report
from iker_agent.records.run_folder import Folder, fresh_folder
from iker_agent.vlm.replay import Replay
from iker_agent.vlm.types import VLM
from iker_envs.randomisation import as_randomisation
from iker_envs.scene import Goal, Scene
from iker_envs.spec import spec_of


def start_run(config: RunConfig, out: Path | None) -> bool:
    """Run a task into a fresh folder with a report; True if it is done."""
    task = chosen_task(config)
    task.configuration(config.configuration)
    as_randomisation(config.randomisation)
    vlm = make_vlm(config, task)  # wrong settings leave no folder behind
    folder = Folder(fresh_folder(out, task.name))
    result = _run(config, folder, vlm)
    return result is not None and result.success


def _run(config: RunConfig, folder: Folder, vlm: VLM, learner: Learner | None = None) -> RunResult | None:
    instruction = config.instruction or chosen_task(config).configuration(config.configuration).instruction
    with Screen(config.learn.budget_s) as screen:
        screen.console.print(f"[bold]{escape(instruction)}[/bold]")
        for line in told(vlm):
            screen.note(line)
        try:
            result = run_task(config, folder, screen, vlm, learner)
        except KeyboardInterrupt:
            write_report(folder.path)
            screen.note(f"interrupted; what was done so far is in {folder.path}")
            return None
        screen.closing(result, str(write_report(folder.path)))
    return result


@dataclass(frozen=True)
class Comparison:
    """How a replay compares with its run: stages whose goal.json is equal byte by byte, and those where it is not."""

    equal: tuple[str, ...]
    different: tuple[str, ...]
    unequal_requests: int  # whose text was not that of the record
    trained: tuple[str, ...]  # stages whose policy was missing

    @property
    def exact(self) -> bool:
        """Every goal of the run was found again."""
        return bool(self.equal) and not self.different


def replay_run(run: Path, out: Path | None) -> Comparison | None:
    """Execute a recorded run again, with its answers and policies; None if it is interrupted.

    No model is asked and nothing is trained, except in stages whose policy is not in the run folder. ValueError if the
    folder does not hold a recorded run.
    """
    config = recorded_config(run)
    vlm = Replay(run, "order")
    learner = _StoredPolicies(run, config)
    folder = Folder(fresh_folder(out, f"{run.resolve().name}_replay"))
    if _run(config, folder, vlm, learner) is None:
        return None
    names = sorted(p.parent.name for p in run.glob("stage_*/goal.json"))
    same = [n for n in names if _content(run / n / "goal.json") == _content(folder.path / n / "goal.json")]
    different = [n for n in names if n not in same]
    return Comparison(tuple(same), tuple(different), vlm.unequal, tuple(learner.trained))


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def recorded_config(run: Path) -> RunConfig:
    """The settings in run.json of a run folder; ValueError if there are none."""
    try:
        config = _known(json.loads((run / "run.json").read_text(encoding="utf-8"))["config"], RunConfig())
    except (FileNotFoundError, NotADirectoryError):
        raise ValueError(f"{str(run)!r} is not a run folder: it has no run.json") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):  # no JSON, or JSON of another form
        raise ValueError(f"run.json of {str(run)!r} cannot be read") from None
    return make_config((), "", **config)


def _known(values: Mapping[str, Any], default: Any) -> dict[str, Any]:
    """The settings that this version has; those of other versions are left out."""
    known = {f.name: getattr(default, f.name) for f in fields(default)}
    return {
        name: _known(value, known[name]) if is_dataclass(known[name]) else value
        for name, value in values.items()
        if name in known
    }


class _StoredPolicies:
    """A learner that reads the policies of a run, stage by stage; `trained` names the stages that had none."""

    def __init__(self, run: Path, config: RunConfig) -> None:
        self.run = run
        self.first_seed = config.seed
        self.otherwise = make_learner(config)
        self.trained = []

    def __call__(self, scene: Scene, goal: Goal, init, seed: int, report) -> Any:
        stage = f"stage_{seed - self.first_seed:02d}"  # a stage learns with the run's seed plus its number
        path = self.run / stage / "policy.safetensors"
        if path.is_file():
            return load_policy(path, spec_of(scene)), []
        self.trained.append(stage)
        return self.otherwise(scene, goal, init, seed, report)
