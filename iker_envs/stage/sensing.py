"""What stands between the world and the policy: errors of the observed pose, old observations, late actions.

    true object pose (N, 7)  ->  Sensing.observe  ->  observed pose (N, 7)
    action (N, 6)            ->  Sensing.delay    ->  the action that takes effect now

The rows of the randomisation that this module serves: observation_position, observation_rotation, observation_noise,
observation_latency, action_latency. An episode's noise is drawn when it begins, in one piece.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from iker_envs.components import Array, columns, multiply, stacked
from iker_envs.geometry import quaternion_from_yaw
from iker_envs.randomisation import MAX_LATENCY, Randomisation
from iker_envs.spec import ACTION_ROWS
from iker_envs.stage.arrays import Arrays, copied

_ACTION_DIM = sum(width for _, width, _, _ in ACTION_ROWS)


class Sensing:
    """Per-world observation errors and latencies of N worlds whose episodes last at most `max_steps` ticks."""

    def __init__(self, randomisation: Randomisation, num_worlds: int, max_steps: int, arrays: Arrays) -> None:
        self.randomisation = randomisation
        self._put = put = arrays.put
        self._xp = arrays.xp
        self.offset_m = put(np.zeros((num_worlds, 3), order="F"))
        self.turn = put(np.asfortranarray(np.tile([1.0, 0, 0, 0], (num_worlds, 1))))
        noisy = "observation_noise" in randomisation.ranges
        self._noise_m = put(np.zeros((num_worlds, max_steps + 1 if noisy else 1, 3)))
        latencies = ("observation_latency", "action_latency")
        self._latency = {name: put(np.zeros(num_worlds, dtype=int)) for name in latencies}
        self._delayed = [name for name in self._latency if name in randomisation.ranges]
        self._poses = put(np.zeros((MAX_LATENCY + 1, num_worlds, 7)))  # newest first
        self._actions = put(np.zeros((MAX_LATENCY + 1, num_worlds, _ACTION_DIM)))
        self._rows = put(np.arange(num_worlds))

    def begin(self, worlds: np.ndarray, rngs: Sequence[np.random.Generator], pose: np.ndarray) -> None:
        """Draw the errors of new episodes in the worlds (M,), whose object stands at `pose` (M, 7)."""
        counts = {"observation_position": 1, "observation_rotation": 1}
        if self._noise_m.shape[1] > 1:
            counts["observation_noise"] = self._noise_m.shape[1]
        drawn = self.randomisation.draw_each(counts | dict.fromkeys(self._delayed, 1), [rngs[w] for w in worlds])
        self.offset_m[worlds] = self._put(drawn["observation_position"][:, 0])
        self.turn[worlds] = self._put(quaternion_from_yaw(drawn["observation_rotation"][:, 0, 0]))
        if "observation_noise" in drawn:
            self._noise_m[worlds] = self._put(drawn["observation_noise"])
        for name in self._delayed:
            self._latency[name][worlds] = self._put(np.round(drawn[name][:, 0, 0]).astype(int))
        self._poses[:, worlds] = pose
        self._actions[:, worlds] = 0.0

    def see(self, pose: Array) -> None:
        """A tick has passed: each world's object is at `pose` (N, 7) now."""
        if "observation_latency" in self._delayed:
            self._poses[1:] = copied(self._poses[:-1])
        self._poses[0] = pose

    def observe(self, step_count: Array, worlds: np.ndarray | slice = slice(None)) -> Array:
        """The observed object poses (M, 7) in worlds (M,), all of them by default, at ticks (M,) of their episodes."""
        rows = self._rows[worlds]
        if "observation_latency" in self._delayed:
            pose = columns(self._poses[self._latency["observation_latency"][worlds], rows])
        else:
            pose = columns(self._poses[0, worlds])
        position = tuple(p + off for p, off in zip(pose[:3], columns(self.offset_m[worlds]), strict=True))
        last = self._noise_m.shape[1] - 1
        if last:
            noise = columns(self._noise_m[rows, self._xp.minimum(step_count, last)])
            position = tuple(p + n for p, n in zip(position, noise, strict=True))
        return stacked((*position, *multiply(columns(self.turn[worlds]), pose[3:])))

    def delay(self, action: Array) -> Array:
        """The actions (N, 6) that take effect at this tick; before the first one arrives the hand holds still."""
        if "action_latency" not in self._delayed:
            return action
        self._actions[1:] = copied(self._actions[:-1])
        self._actions[0] = action
        return self._actions[self._latency["action_latency"], self._rows]

    def get_state(self) -> dict[str, Array]:
        """Everything drawn and remembered."""
        return {name: copied(values) for name, values in self._arrays().items()}

    def set_state(self, state: dict[str, Array]) -> None:
        """Go back to an earlier `get_state`."""
        for name, values in self._arrays().items():
            values[:] = state[name]

    def _arrays(self) -> dict[str, Array]:
        fixed = {"offset_m": self.offset_m, "turn": self.turn, "noise_m": self._noise_m}
        return {**fixed, **self._latency, "poses": self._poses, "actions": self._actions}
