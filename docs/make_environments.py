"""Write docs/environments.md from the code that it describes: `python docs/make_environments.py`.

A test fails when the page and the code differ.
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import iker_envs
from iker_envs import measure, randomisation, rewards
from iker_envs.spec import space_tables
from iker_envs.stage.config import StageConfig
from iker_envs.task import load_task

PAGE = Path(__file__).with_name("environments.md")
_TRAINING = {  # argument -> what it does
    "free": '"all": every movable object can move; "near": what is far from the goal\'s object and its way is welded',
    "grasp_bank": "grasped states that a world makes once and then repeats; 0: it grasps in every episode",
    "start_bank": "starts that a world draws before it repeats them; 0: it draws one in every episode",
}


def page() -> str:
    """The whole page as Markdown."""
    parts = [
        _INTRODUCTION,
        _ids(),
        space_tables(),
        "",
        _WITHIN_A_TICK,
        "",
        _EPISODE,
        _GYMNASIUM,
        _rewards(),
        _SUCCESS,
        _randomisation(),
    ]
    return "\n".join(parts)


def _table(head: tuple[str, ...], rows) -> str:
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    return "\n".join([*lines, *(f"| {' | '.join(str(c) for c in row)} |" for row in rows)]) + "\n"


def _ids() -> str:
    rows = []
    for id_ in iker_envs.IDS:
        task = load_task(iker_envs.TASKS[id_]) if id_ in iker_envs.TASKS else None
        line = task.description if task else "Any scene and goal, given as contracts, dictionaries or files."
        rows.append((f"`{id_}`", len(task.configurations) if task else "-", line))
    return _table(("id", "configurations", "what it is"), rows)


def _training() -> str:
    default = StageConfig()
    rows = [
        (f"`{name}`", repr(getattr(default, name)), repr(iker_envs.TRAINING[name]), text)
        for name, text in _TRAINING.items()
    ]
    return _table(("argument", "default", "`TRAINING`", "meaning"), rows)


def _rewards() -> str:
    rows = [(name, row.weight, row.value.__doc__) for name, row in rewards.ROWS.items()]
    scales = [(f.name, f.default) for f in fields(rewards.RewardConfig) if f.name != "weights"]
    head = "## Reward\n\nThe sum of weighted rows; `info` has each as `reward/<row>`.\n"
    return "\n".join([head, _table(("row", "weight", "meaning"), rows), _table(("scale", "value"), scales)])


def _randomisation() -> str:
    on = randomisation.DEFAULT_RANGES
    optional = randomisation.OPTIONAL_RANGES
    rows = [
        (f"`{n}`", r.operation, list({**on, **optional}[n]), r.unit or "-", "yes" if n in on else "no", r.meaning)
        for n, r in randomisation.QUANTITIES.items()
    ]
    return _RANDOMISATION + _table(("row", "operation", "range", "unit", "on by default", "meaning"), rows)


_INTRODUCTION = """# The environments

<!-- Written by docs/make_environments.py; change the code, then run it again. -->

`gym.make(id)` gives one world, `gym.make_vec(id, num_envs=N)` N worlds on CPU threads. Everything is in the robot base
frame: +x forward, +y left, +z up, metres, radians, quaternions (w, x, y, z).

`IKER-Stage-v0` takes `scene`, `goal` and `randomisation` as objects, as their `to_dict()` or as JSON or YAML files;
`env.unwrapped.spec` keeps the dictionaries, so `spec.to_json()` can be stored and `gym.make(EnvSpec.from_json(text))`
makes the same environment.
"""

_WITHIN_A_TICK = (
    "Within a tick the hand is led to its command in a line, as set points lead the arm; every engine does so."
)
_EPISODE = f"""## Episodes

A stage is an episode. `reset(seed=..., options={{...}})` of the single environment takes

- `world`: `"new"` (default) draws objects and physics anew, `"keep"` begins the next episode from the world as it
  stands: objects untouched, in motion too, counters cleared, the hand at its start pose.
- `goal`, `grasp`: with `"keep"`, what to do next; a goal with `grasp: true` is grasped in physics first.
- `configuration`: which arrangement of a task, counted from 0.
- `look`: with `"new"`, place the objects and leave the empty hand out of it, so that `view()` shows the scene.

The vector environment takes `configuration`, `reset_mask` (N bools: only these worlds begin anew) and `goals`: one goal
per world, or target poses (N, 7), for goal-conditioned training. `get_state()` and `set_state(state)` of both forms
save and restore all that the future depends on, to the last bit; both can be pickled. A state fits an environment made
with the same arguments, in the same form.

World i of the vector environment equals, to the last bit, a single one that is made with the same arguments and seeded
with seed + i. In a batch every new start costs as much as many ticks, and a grasp costs 26 ticks of all worlds. Three
arguments of both forms make that cheap, and `iker_envs.TRAINING` has all of them, as training uses them:
`gym.make_vec(id, num_envs=512, **iker_envs.TRAINING)`.

{_training()}
A task of several stages begins with its first one; `gym.make(id, stage_index=2)` begins with the third, the earlier
ones done. A push begins with the hand 10 cm from the object, above pushing height and round to one side, where there is
room; a carry begins with the object grasped in physics.

Terminated: the object was dropped, fell, tipped over, or the simulation diverged. Truncated: the time limit. There is
no termination on success. `finish()` opens the hand, retreats, waits until all is still and returns an `Outcome`.
"""

_GYMNASIUM = """## gymnasium's arguments, autoreset modes and wrappers

| argument | what it does here |
|---|---|
| `episode_s` | the time limit in seconds, shorter or longer than the task's own |
| `max_episode_steps` | the same in ticks of 0.1 s; the earlier one holds where both are given |
| `disable_env_checker` | as everywhere; of `gym.make` alone |
| `vectorization_mode` | left out: all worlds in one simulation; `"sync"`, `"async"`: single environments |
| `wrappers`, `vector_kwargs` | with `"sync"` or `"async"`, as everywhere |

`gym.make` hands `max_episode_steps` to gymnasium's `TimeLimit`, which can shorten an episode and not lengthen it.
`spec.max_episode_steps` tells the limit that holds, for `TimeAwareObservation`; an id may be registered with one. A
spec is always text: `spec.to_json()` keeps words, numbers and dictionaries, whatever the arguments were made of.

What happens when an episode ends in one of many worlds is `autoreset_mode`, a word or gymnasium's `AutoresetMode`:

| `autoreset_mode` | the step that ends an episode gives | the next step |
|---|---|---|
| `"same_step"` (default) | the next episode's first observation; the last one is in `info` | goes on |
| `"next_step"` | the last observation | is spent on the reset; no action, reward 0 |
| `"disabled"` | the last observation | is refused before a reset of what ended |

With `"disabled"`, `reset(options={"reset_mask": terminated | truncated})` begins the next episodes.

`info` has gymnasium's layout: beside each array stands a mask `_name` (N,) of the worlds that it is of. With
`"same_step"` there are `final_obs` (N, observation) at every step, the current observation where no episode ended, and
`final_info` with the info of the episodes that ended, at steps in which one did, both with their masks. The arrays
beside them (`reward/...`, `is_success`, ...) are those of the step, so of the episode that ended.

| gymnasium's vector wrappers | `"same_step"` | `"next_step"` | `"disabled"` |
|---|---|---|---|
| of rewards and actions, `DictInfoToList`, `NumpyToTorch` | yes | yes | yes |
| `RecordEpisodeStatistics` | yes | yes | yes |
| of observations: `RescaleObservation`, `ReshapeObservation`, ... | no | yes | yes |
| `NormalizeObservation` | no | yes | no |
| `RecordVideo`, `HumanRendering`: many worlds draw no pictures | no | no | no |

Seeds of many worlds are one number (world i gets seed + i) or one per world, of which None leaves a world the generator
that it has. Environments go on in a forked process, each process with threads of its own.
"""

_SUCCESS = f"""## Success

Measured after `finish()`. `success` is the paper's: mean keypoint distance to the target at most
{100 * measure.SUCCESS_M:.0f} cm (to the annotated target of a goal that has one). `success_strict`: that, and to the
target that was used at most {100 * measure.STRICT_M:.0f} cm, tilt and heading at most 15
degrees, no other object moved by more than {100 * measure.STRICT_OTHERS_M:.0f} cm. Four coplanar keypoints of a shoe
on its side are only 3.5 cm off: the first measure alone accepts nonsense, so both are always reported.
"""

_RANDOMISATION = """## Randomisation

`randomisation="on"` (default), `"off"`, `"all"`, a file, or a mapping from row to `[low, high]`; numbers are drawn
uniformly, per world and episode. `scale` multiplies the nominal value, `add` is added to it. `"all"` adds the rows that
are not on by default. `{"ranges": "on", "scale": 0.5}` makes all ranges half as wide about the nominal value (`ranges`
is one of the words or a mapping; in Python also `Randomisation().scaled(0.5)`). Under grasp goals what is physical
stays with a world, because its grasped states were made with it.

`object_position` and `object_yaw` are for fixed scenes (`IKER-Stage-v0` with `scene`). A task has start ranges of its
own and draws from them whatever the randomisation is, `"off"` too. A fixed scene's object is drawn again where it would
stand in another one. `geometry_scale` compiles 5 sizes of the manipulated
object, 3 where a task has more than 6 different sets of objects; the nominal size is among them.

MuJoCo knows no coefficient of restitution: `restitution` scales the damping ratio of the contact's spring (nominal 1),
`compliance` its time constant (nominal 20 ms, two physics steps, the shortest that is stable).

"""

if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
