"""What `iker run` and `iker replay` do once their settings are put together.

start_run(config, out)       ->  run folder with report; was the task done?
replay_run(folder, out)      ->  the run again from its record, goals compared bit by bit
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

from rich.markup import escape

from iker_agent.backends import asking, make_vlm, told
from iker_agent.commands.display import Screen
from iker_agent.commands.ending import need
from iker_agent.commands.operator import ask_person
from iker_agent.commands.terminal import notes
from iker_agent.config import RunConfig, make_config, prompt_by_name
from iker_agent.learners import make_learner
from iker_agent.learning.learner import Learned, Learner
from iker_agent.learning.policy_files import load_policy
from iker_agent.loop import carry_out
from iker_agent.plain_text import echo
from iker_agent.plan import Plan, make_plan
from iker_agent.records.record import RunResult
from iker_agent.records.report import write_report
from iker_agent.records.run_folder import Folder, claimed_folder
from iker_agent.vlm.replay import Replay
from iker_agent.vlm.types import VLM
from iker_agent.voxposer.baseline import carry_out_value_maps
from iker_agent.voxposer.plans import make_maps_vlm
from iker_agent.worlds import make_world
from iker_envs.documents import RECORD_LIMITS, read_document
from iker_envs.randomisation import as_randomisation
from iker_envs.scene import Goal, Scene
from iker_envs.spec import spec_of
from iker_envs.world import World


def start_run(config: RunConfig, out: Path | None) -> bool:
    """Run a task into a fresh folder with a report; True if it is done, or said to be where nothing can tell."""
    plan = make_plan(config)
    as_randomisation(config.randomisation)
    need(*(("torch", "skrl") if config.learner == "ppo" else ()))
    need(*(("imageio_ffmpeg",) if config.run.video else ()))
    vlm = make_maps_vlm(config, plan.task) if config.method == "voxposer" else make_vlm(config, plan.task)
    with asking(vlm), claimed_folder(out, plan.task.name) as folder:  # wrong settings leave none behind
        result = _carry_out(plan, folder, vlm, world=_robot(plan))
        return result.done if result.success is None else result.success


def _robot(plan: Plan) -> World | None:
    """The world of a run on a robot or in a laboratory, a person at the terminal its operator; None: a simulation."""
    if plan.config.world == "sim":
        return None
    return make_world(plan.config, plan.task, ask_person if plan.config.world == "real" else None)


def _carry_out(
    plan: Plan, folder: Folder, vlm: VLM, learner: Learner | None = None, world: World | None = None
) -> RunResult:
    """Run and report; a run that is interrupted or breaks off leaves its report before the exception goes on."""
    with Screen(plan.config.learn.budget_s) as screen, notes(screen.console):
        try:
            screen.console.print(f"[bold]{escape(plan.instruction)}[/bold]")
            for line in told(vlm):
                screen.note(line)
            if plan.config.method == "voxposer":
                result = carry_out_value_maps(plan, folder, screen, vlm, world)
            else:
                result = carry_out(plan, folder, screen, vlm, learner, world)
            screen.closing(result, str(write_report(folder.path)))
        except BaseException as end:  # is raised again; Ctrl-C is no Exception
            if _left_readable(folder) and not isinstance(end, BrokenPipeError):
                echo(f"what was done so far is in {folder.path}", err=True)
            raise
    return result


def _left_readable(folder: Folder) -> bool:
    """Give a run that cannot go on a report of what was done; False if nothing was."""
    if not (folder.path / "run.json").exists():
        return False
    with suppress(OSError):  # a full disk: the report may be what does not fit, all else is there
        write_report(folder.path)
    return True


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


def replay_run(run: Path, out: Path | None) -> Comparison:
    """Execute a recorded run again, with its answers and policies.

    No model is asked and nothing is trained, except in stages whose policy is not in the run folder. ValueError if the
    folder does not hold a recorded run.
    """
    plan = make_plan(recorded_config(run))
    vlm = Replay(run, "order")
    learner = _StoredPolicies(run, plan.config)
    with claimed_folder(out, f"{run.resolve().name}_replay") as folder:
        _carry_out(plan, folder, vlm, learner)
    names = sorted(p.parent.name for p in run.glob("stage_*/goal.json"))
    same = [n for n in names if _content(run / n / "goal.json") == _content(folder.path / n / "goal.json")]
    different = [n for n in names if n not in same]
    return Comparison(tuple(same), tuple(different), vlm.unequal, tuple(learner.trained))


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def recorded_config(run: Path) -> RunConfig:
    """The settings in run.json of a run folder; ValueError if there are none."""
    if not (run / "run.json").exists():
        raise ValueError(f"{str(run)!r} is not a run folder: it has no run.json")
    try:
        config = _known(prompt_by_name(read_document(run / "run.json", RECORD_LIMITS)["config"]), RunConfig())
    except (ValueError, KeyError, TypeError, AttributeError):  # no JSON, or JSON of another form
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
        self.otherwise = make_learner(config)
        self.trained: list[str] = []
        self._asked: Counter[int] = Counter()  # policies by stage: before the last one come those of refused goals

    def learn(self, scene: Scene, goal: Goal, *, stage: int = 1, **rest: Any) -> Learned:
        """The policy of the run's own stage `stage`; where there is none, it is learned again."""
        name = f"stage_{stage:02d}"
        self._asked[stage] += 1
        refused = self.run / name / f"refused_{self._asked[stage]}.safetensors"
        path = refused if refused.is_file() else self.run / name / "policy.safetensors"
        if path.is_file():
            return Learned(load_policy(path, spec_of(scene)))
        self.trained.append(name)
        return self.otherwise.learn(scene, goal, stage=stage, **rest)
