"""Write docs/items.md (and its picture) from cfg/items: `python docs/make_items.py`.

A test fails when the page and the data differ. `--picture` draws docs/items.jpg anew as well.
"""

from __future__ import annotations

import sys
from pathlib import Path

from iker_agent.experiments.items import Item, load_items

PAGE = Path(__file__).with_name("items.md")
PICTURE = Path(__file__).with_name("items.jpg")
SHOWN = ("red_mug_belongs", "clear_tray", "shoes_away", "toys_away", "wrong_way_round", "red_in_white")


def page() -> str:
    """The whole page as Markdown."""
    return "\n".join([_INTRODUCTION, *(_tier(tier) for tier in ("natural", "hard"))])


def _tier(tier: str) -> str:
    items = load_items(tier)
    rows = [f"| {i.name} | {i.instruction} | {', '.join(i.skills)} | {i.expects} | {_moves(i)} |" for i in items]
    head = "| item | instruction | skills | expects | moved |\n|---|---|---|---|---|"
    return "\n".join([f"## Tier {tier}: {len(items)} items\n", head, *rows, ""])


def _moves(item: Item) -> str:
    return ", ".join(item.solutions[0]) or "-"


def draw() -> None:
    """The scenes of some items as the model sees them, without marks."""
    from PIL import Image

    from iker_envs.pictures.still import still_view

    items = {item.name: item for tier in ("natural", "hard") for item in load_items(tier)}
    pictures = [Image.fromarray(still_view(items[name].scene()).image.rgb).resize((400, 300)) for name in SHOWN]
    sheet = Image.new("RGB", (1200, 600))
    for k, picture in enumerate(pictures):
        sheet.paste(picture, (400 * (k % 3), 300 * (k // 3)))
    sheet.save(PICTURE, quality=72)


_INTRODUCTION = """# Items: instructions in three tiers

<!-- Written by docs/make_items.py from cfg/items; change the data, then run it again. -->

An item is one instruction in one scene, with conditions that judge what came of it. No person judges.

| tier | what is asked |
|---|---|
| precise | the 60 configurations of the six [tasks](tasks.md), with numbers |
| natural | as people talk: what is meant is plain, where exactly is left open |
| hard | look-alikes, relations, constraints, orders with a trap, what is fulfilled already or cannot be done |

| skill | what an answer has to get right |
|---|---|
| grounding | which object is meant |
| relation | where it is to the others: left of, between, on, inside |
| arithmetic | lengths and room |
| orientation | which way it points |
| planning | several moves, and their order |
| done | that nothing is left to do |
| refusal | that it cannot be done in this scene, and to say so |

![Scenes of some items](items.jpg)

## How to write one

A YAML file in [`cfg/items/`](../cfg/items), or in a folder that the environment variable `IKER_ITEMS` names:

```yaml
objects:                      # as in a task; or `task: shoe_rack` and `configuration: 3` for a task's own scene
  tray: {model: tray_grey, position_m: [0.60, 0.0, 0.0], movable: false}
  mug: {model: mug_red, position_m: [0.36, 0.2, 0.0], yaw_deg: 90}
items:
  - name: mug_on_tray
    tier: natural
    skills: [grounding]
    instruction: The mug does not belong on the table
    success: on(mug, tray) and upright(mug)
    solutions:
      - {mug: {on: tray, at_m: [0.60, 0.05]}}
      - {mug: {on: tray, at_m: [0.56, -0.08], yaw_deg: 45}}
    wrongs:
      fallen: {mug: {on: tray, at_m: [0.60, 0.0], roll_deg: 90}}
      off_edge: {mug: {at_m: [0.42, 0.0]}}
```

- `success` joins the conditions of [new-task.md](new-task.md). They have to hold for every arrangement that the words
  allow and for no other: where the words are vague, so are the tolerances. That everything rests on something and
  nothing is in something else (`all_rest()`) is asked of every item; that others stay where they are (`unmoved`) is
  not. `apart`, `clear_of` and `beside` forbid touching: use them where the words do.
- `expects` is `goal` (the default), `done` (the conditions hold from the start) or `impossible`. An item that expects
  `impossible` has no `success`: right is that nothing was moved, and an answer that proposes a goal is wrong.
- A place in `solutions` and `wrongs` says what changes against the start: `on` (an object or `table`), `at_m` [x, y] in
  the robot's base frame, `yaw_deg`, `roll_deg`, `pitch_deg`, `up_m` above the surface, `grasp: false` for a push.
  Objects are moved in the order in which they are written; where one is moved twice (two change places), a solution
  is a list: `[{red: {...}}, {blue: {...}}, {red: {...}}]`. The first solution becomes the stages, with a program for
  each contract that sets the object to its place, for the `annotated` backend.
- `objects` of an item changes the scene's objects, `without` leaves some out.
- A file is refused in one sentence where the conditions do not hold for a solution, or do hold for a wrong or for a
  start that is to be changed. Think of what the words leave open (another order, place, side or heading, piled up) for
  `solutions`, and of what a person would not accept (a look-alike, the mirrored side, half over an edge, touching
  where that is forbidden, something else moved) for `wrongs`.
- A test tries more that no instruction allows (held up in the air, left out, something else moved too), and holds the
  scene and the first solution to the checks that a model's program has to pass: `python -m pytest tests/test_items.py`.
"""

if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    if "--picture" in sys.argv:
        draw()
