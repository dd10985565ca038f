"""Write docs/tasks.md (and its picture) from the tasks and objects: `python docs/make_tasks.py`.

A test fails when the page and the data differ. `--picture` draws docs/tasks.jpg anew as well.
"""

from __future__ import annotations

import sys
from pathlib import Path

import iker_envs
from iker_envs.objects.library import object_library, object_split
from iker_envs.task import Task, load_task

PAGE = Path(__file__).with_name("tasks.md")
PICTURE = Path(__file__).with_name("tasks.jpg")
NAMES = tuple(iker_envs.TASKS.values())


def page() -> str:
    """The whole page as Markdown."""
    return "\n".join([_INTRODUCTION, *(_task(load_task(name)) for name in NAMES), _OBJECTS, _objects()])


def _task(task: Task) -> str:
    stages = len(task.configuration(0).stages)
    words = f"{task.description} {stages} stage{'s' if stages > 1 else ''}, {len(task.configurations)} configurations."
    rows = []
    for index, configuration in enumerate(task.configurations):
        moved = dict.fromkeys(s.goal.object for s in configuration.stages)
        models = ", ".join(configuration.objects[name].model for name in moved)
        rows.append(f"| {index} | {configuration.instruction} | {models} |")
    head = "| | instruction | moved |\n|---|---|---|"
    return "\n".join([f"## {task.id}\n", f"`{task.name}`: {words}\n", head, *rows, ""])


def _objects() -> str:
    split = {name: part for part, names in object_split().items() for name in names}
    rows = ["| model | size (cm) | mass (g) | friction | split | source |", "|---|---|---|---|---|---|"]
    for name, model in object_library().items():
        size = " x ".join(f"{100 * s:g}" for s in model.size_m.round(4))
        mass = f"{1000 * model.mass_kg:.0f}" if model.mass_kg else "-"
        rows.append(f"| {name} | {size} | {mass} | {model.friction} | {split[name]} | {model.source} |")
    return "\n".join(rows) + "\n"


_INTRODUCTION = """# Tasks and objects

<!-- Written by docs/make_tasks.py from cfg/; change the data, then run it again. -->

Every configuration has its own instruction, start ranges, goals and human-written programs in two contracts, in
[`cfg/tasks/`](../cfg/tasks). `reset(options={"configuration": i})` picks one. A new task is described in
[new-task.md](new-task.md). Keypoints are drawn as the model sees them, the first stage's targets as green rings:

![All configurations of all tasks](tasks.jpg)
"""

_OBJECTS = """## Objects

From [`cfg/objects.yaml`](../cfg/objects.yaml); sizes along the body axes x, y, z. Objects of the split `test` are for
testing what was learned with the others.
"""

if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    if "--picture" in sys.argv:
        from iker_agent.authoring.sheet import contact_sheet

        sheet = contact_sheet(NAMES)
        sheet.resize((sheet.width * 2 // 3, sheet.height * 2 // 3)).save(PICTURE, quality=68)
