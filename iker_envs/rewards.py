"""The keypoint reward: weighted rows, each a pure function of a small State (paper, Section III-D).

    State (arrays over N worlds)  ->  {row: (N,)}  ->  sum = reward

A row is a function and a line of `ROWS`; its name is the environments' `rewards` keyword, `info["reward/NAME"]`, the
column `reward_NAME` of metrics.csv and a scalar of TensorBoard. A State field may be NaN where it cannot be measured
(hardware); the rows that need it then give 0. Nothing here has memory: progress and the count of consecutive successes
are part of the State.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from iker_envs.components import Array, clipped, namespace
from iker_envs.contract import check_number
from iker_envs.geometry import dot


@dataclass(frozen=True)
class State:
    """What the rewards may look at, (N,) each unless said otherwise."""

    gripper_distance_m: Array  # tool centre to the object's nearest control keypoint or centre
    error_m: Array  # mean distance of the 4 control keypoints (or pose distance) to their targets
    error_before_m: Array  # the same one tick ago
    success_steps: Array  # consecutive ticks within the success threshold
    action: Array  # (N, 6) in [-1, 1]
    dropped: Array  # 1 when the object was lost, tipped over or fell
    contact_force_N: Array  # net force on the gripper
    others_moved_m: Array  # farthest that another object has moved since the stage began


@dataclass(frozen=True)
class RewardConfig:
    """Scales of the rows, and the weight of every row of `ROWS` by name.

    ValueError for a scale that is not above 0, and for weights of other rows than those of `ROWS`.
    """

    length_scale_m: float = 0.1  # of the distance and alignment kernels
    progress_per_m: float = 40.0
    progress_limit: float = 2.0
    fine_scale_m: float = 0.02  # a second, narrow kernel: the last centimetres count
    success_m: float = 0.02  # of the bonus
    success_steps: int = 5
    motion_cost: float = 0.04
    drop_cost: float = 10.0
    force_limit_N: float = 20.0
    force_cost: float = 0.05
    others_cost: float = 10.0  # per metre
    weights: Mapping[str, float] = field(default_factory=lambda: {name: row.weight for name, row in ROWS.items()})

    def __post_init__(self) -> None:
        for name in ("length_scale_m", "fine_scale_m", "success_m", "success_steps", "progress_limit"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} of the rewards is above 0, not {getattr(self, name)!r}")
        if set(self.weights) != set(ROWS):
            raise ValueError(f"the rewards have weights for {', '.join(ROWS)}, not for {', '.join(self.weights)}")

    @classmethod
    def changed(cls, values: Mapping[str, Any] | None) -> RewardConfig:
        """The default with other numbers for some rows (their weights) and scales: `{"distance": 0.5}`.

        ValueError for a name that is neither, or a value that is no finite number.
        """
        if values is not None and not isinstance(values, Mapping):
            raise ValueError(f"rewards is a mapping from rows and scales of the reward to numbers, not {values!r}")
        values = dict(values or {})
        default = cls()
        known = default.numbers()
        if unknown := [name for name in values if name not in known]:
            raise ValueError(f"the rewards have no {unknown[0]!r}; they have: {', '.join(known)}")
        for name, value in values.items():
            check_number(f"rewards[{name!r}]", value)
        weights = {name: values.pop(name, weight) for name, weight in default.weights.items()}
        return cls(**values, weights=weights)

    def numbers(self) -> dict[str, float]:
        """All weights and scales by name, as `changed` takes them."""
        scales = {f.name: float(getattr(self, f.name)) for f in fields(self) if f.name != "weights"}
        return {name: float(weight) for name, weight in self.weights.items()} | scales


def distance(state: State, config: RewardConfig) -> Array:
    """Gripper near the object: 1 / (1 + (d / scale)^2); its heavy tail gives a slope from afar."""
    return 1.0 / (1.0 + (state.gripper_distance_m / config.length_scale_m) ** 2)


def direction(state: State, config: RewardConfig) -> Array:
    """Motion towards the target: the decrease of the keypoint error, clipped."""
    progress = config.progress_per_m * (state.error_before_m - state.error_m)
    return clipped(progress, -config.progress_limit, config.progress_limit)


def alignment(state: State, config: RewardConfig) -> Array:
    """Keypoints near their targets, a wide and a narrow exponential kernel in equal parts."""
    xp = namespace(state.error_m)
    return 0.5 * (xp.exp(-state.error_m / config.length_scale_m) + xp.exp(-state.error_m / config.fine_scale_m))


def bonus(state: State, config: RewardConfig) -> Array:
    """1 once the object has stayed within the success threshold for some consecutive ticks."""
    xp = namespace(state.error_m)
    return xp.astype(state.success_steps >= config.success_steps, state.error_m.dtype)


def penalty(state: State, config: RewardConfig) -> Array:
    """Minus the cost of excess motion, dropping, pressing and moving other objects."""
    force = state.contact_force_N - config.force_limit_N
    terms = (
        config.motion_cost * dot(state.action, state.action),
        config.drop_cost * state.dropped,
        config.force_cost * clipped(force, 0.0, 100.0),
        config.others_cost * clipped(state.others_moved_m, 0.0, 0.1),
    )
    return -sum(known(term) for term in terms)


@dataclass(frozen=True)
class RewardRow:
    """A part of the reward: `weight`, if the environment is not asked for another one, times `value`, (N,)."""

    weight: float
    value: Callable[[State, RewardConfig], Array]


ROWS: Mapping[str, RewardRow] = {
    "distance": RewardRow(0.3, distance),
    "direction": RewardRow(1.0, direction),
    "alignment": RewardRow(1.0, alignment),
    "bonus": RewardRow(2.0, bonus),
    "penalty": RewardRow(1.0, penalty),
}


def known(values: Array) -> Array:
    """The values with NaN (not measurable here) replaced by 0."""
    xp = namespace(values)
    return xp.where(xp.isnan(values), 0.0, values)


def compute_rewards(state: State, config: RewardConfig) -> dict[str, Array]:
    """Weighted rows {name: (N,)}; the reward is their sum."""
    return {name: config.weights[name] * known(row.value(state, config)) for name, row in ROWS.items()}
