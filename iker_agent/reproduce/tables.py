"""What each table is made of: its cells, and why some are empty.

ReproduceSettings  ->  table_of(name, settings)  ->  Table
"""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import Any

from iker_agent.config import RunConfig
from iker_agent.reproduce import paper
from iker_agent.reproduce.cells import Cell, Unit
from iker_agent.reproduce.chain import METHODS, Method, chain_unit
from iker_agent.reproduce.settings import ReproduceSettings, facts
from iker_agent.reproduce.single import evaluation, per_configuration, written
from iker_agent.reproduce.table import Table

_NO_LAB = "not asked for; add --world lab (it takes real time)"
_NO_MODEL = (
    "nobody was asked; add --vlm openai --model NAME, or --vlm replay --cassette first_answers ask.match=instruction"
)
_NO_MAPS = (
    "no model was asked to write value maps, and the shipped record has keypoint and pose programs only; add "
    "--vlm openai --model NAME"
)
_STAGES = ("after stage 1", "after stage 2", "after stage 3")


def table_of(name: str, settings: ReproduceSettings) -> Table:
    """The table of that name."""
    return {"table1": _table1, "table2": _table2, "fig5": _fig5}[name](settings)


def _table1(settings: ReproduceSettings) -> Table:
    cells = []
    for task in paper.TASKS:
        for contract in ("keypoints", "poses"):
            row = f"{task}, {contract}"
            for where, world in (("sim", "sim"), ("real", "lab")):
                figure = paper.TABLE1.get((task, contract, f"annotated {where}"))
                column = "annotated, simulation" if where == "sim" else "annotated, real (laboratory)"
                cells.append(replace(_annotated(settings, task, contract, world), row=row, column=column, paper=figure))
                column = "VLM, simulation" if where == "sim" else "VLM, real (laboratory)"
                cells.append(replace(_model(settings, task, contract, world), row=row, column=column))
    notes = (
        "Four tasks of one stage, ten start and end configurations each. Annotated: goals by human programs, the "
        "task's shipped policy, every configuration in copies with other starts and physics. VLM: one program a "
        "configuration, run on what every episode looks like, carried out by the same policy from estimated poses.",
        paper.TABLE1_NOTE,
    )
    return _table("table1", "Table I: tasks of one stage", "task", settings, cells, notes, paper.TASKS)


def _annotated(settings: ReproduceSettings, task: str, contract: str, world: str) -> Cell:
    """The cell of human programs: keypoint policies are shipped, those that observe poses are not."""
    if world not in settings.worlds:
        return Cell("", "", empty=_NO_LAB)
    policy = settings.trained(task, "pose") if contract == "poses" else ""
    if contract == "poses" and not policy:
        return Cell("", "", empty=_trained_by("that observes poses", "pose", "--observation pose"))
    what: dict[str, Any] = {"policy": policy, "observation": "pose" if policy else "keypoints", "world": world}
    label = _label(world, contract)
    units = per_configuration(settings, lambda index: evaluation(settings, task, index, label, **what))
    return Cell("", "", units)


def _label(world: str, contract: str) -> str:
    """The name of units at annotated goals: Table I and II share those of the shipped policies, in one folder."""
    return f"annotated {world} {contract}"


def _model(settings: ReproduceSettings, task: str, contract: str, world: str) -> Cell:
    if not settings.asks_model:
        return Cell("", "", empty=_NO_MODEL)
    if world not in settings.worlds:
        return Cell("", "", empty=_NO_LAB)
    units = per_configuration(settings, lambda index: written(settings, task, index, contract, world))
    return Cell("", "", units)


def _trained_by(what: str, name: str, option: str) -> str:
    return (
        f"no policy {what} is shipped; train it, `iker train TASK {option} --out RUNS/TASK/{name} "
        "learn.stop_success=0.98 learn.max_steps=2500000`, and add --policies RUNS"
    )


def _table2(settings: ReproduceSettings) -> Table:
    cells = []
    for task in paper.TASKS:
        for kind in ("with", "without"):
            policy = "" if kind == "with" else settings.trained(task, "off")
            for column, ranges, world in (
                ("simulation", "on" if kind == "with" else "off", "sim"),
                ("shifted world", "shifted", "sim"),
                ("real (laboratory)", "on", "lab"),
            ):
                where = {"simulation": "sim", "real (laboratory)": "real"}.get(column, "")
                cell = _randomised(settings, task, kind, policy, ranges, world)
                figure = paper.TABLE2.get((task, f"trained {kind}", where))
                cells.append(replace(cell, row=f"{task}, trained {kind}", column=column, paper=figure))
    notes = (
        "Keypoint policies trained with and without randomisation of physics and starts. In simulation each is "
        "measured as it was trained; human programs set the goals.",
        paper.TABLE2_NOTE,
    )
    return _table("table2", "Table II: randomisation", "task, policy", settings, cells, notes, paper.TASKS)


def _randomised(settings: ReproduceSettings, task: str, kind: str, policy: str, ranges: str, world: str) -> Cell:
    if world not in settings.worlds:
        return Cell("", "", empty=_NO_LAB)
    if kind == "without" and not policy:
        return Cell("", "", empty=_trained_by("trained without randomisation", "off", "--randomisation off"))
    what = {"policy": policy, "randomisation": ranges, "world": world}
    shared = kind == "with" and ranges == "on"
    label = _label(world, "keypoints") if shared else f"randomisation {kind} {world} {ranges}"
    return Cell("", "", per_configuration(settings, lambda index: evaluation(settings, task, index, label, **what)))


def _fig5(settings: ReproduceSettings) -> Table:
    cells = []
    for method in METHODS:
        for world in settings.worlds:
            for writer in ("annotated", "VLM"):
                units: tuple[Unit, ...] = ()
                empty = "" if writer == "annotated" else _unasked(settings, method)
                if not empty:
                    units = per_configuration(settings, _chain(settings, method.name, world, writer))
                figures = paper.FIG5.get(method.name, (None, None, None)) if writer == "VLM" else (None, None, None)
                row = f"{method.name}, {writer}, {'simulation' if world == 'sim' else 'laboratory'}"
                for index, (column, figure) in enumerate(zip(_STAGES, figures, strict=True)):
                    cells.append(Cell(row, column, units, index, figure, empty))
    told = " ".join(f"{method.name}: {method.text}." for method in METHODS)
    notes = (
        "Chains of three stages (shoe_rack) over ten configurations. A chain counts after stage k if in the end of the "
        "run every condition of the task's success holds that is about the objects of the first k stages. A record "
        "of a model's answers has one answer a stage: what misses is not tried again there.",
        told,
        paper.FIG5_NOTE,
    )
    return _table(
        "fig5", "Fig. 5: chains of three stages", "method, programs, world", settings, cells, notes, ("shoe_rack",)
    )


def _unasked(settings: ReproduceSettings, method: Method) -> str:
    """Why no model's programs for a method's chains are there; empty if one is asked for them."""
    if not settings.asks_model:
        return _NO_MODEL
    return _NO_MAPS if method.top.get("method") == "voxposer" and settings.replays_shipped else ""


def _chain(settings: ReproduceSettings, method: str, world: str, writer: str):
    return lambda index: chain_unit(settings, method, world, writer, index)


def _table(
    name: str,
    title: str,
    heading: str,
    settings: ReproduceSettings,
    cells: list[Cell],
    notes: tuple[str, ...],
    tasks: tuple[str, ...],
) -> Table:
    return Table(name, title, heading, tuple(cells), notes, command(name, settings), facts(settings, tasks))


def command(name: str, settings: ReproduceSettings) -> str:
    """The command line that makes a table like this one."""
    config = settings.config
    parts = ["iker", "reproduce", name]
    for world in settings.worlds:
        parts += ["--world", world] if settings.worlds != ("sim",) else []
    asked = (("--vlm", config.vlm if settings.asks_model else ""), ("--model", config.ask.model))
    more = (("--cassette", config.ask.cassette), ("--policies", settings.policies and "RUNS"))
    for option, value in (*asked, *more):
        parts += [option, value] if value else []
    for option, number, default in (
        ("--seed", config.seed, 0),
        ("--configurations", settings.configurations, 10),
        ("--copies", settings.copies, ReproduceSettings.copies),
        ("--episodes", settings.episodes, ReproduceSettings.episodes),
    ):
        parts += [option, str(number)] if number != default else []
    parts += ["--clock", str(config.clock)] if "lab" in settings.worlds and config.clock != RunConfig.clock else []
    parts += [f"ask.match={config.ask.match}"] if config.ask.cassette else []
    parts += [f"learner={config.learner}"] if config.learner != "ppo" else []
    return shlex.join(parts)
