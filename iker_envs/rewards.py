"""The five-term keypoint reward: weighted rows over pure functions of a small State (paper, Section III-D).

    State (arrays over N worlds)  ->  {row: (N,)}  ->  sum = reward

A State field may be NaN where it cannot be measured (hardware); the rows that need it then give 0. Nothing here has
memory: progress and the count of consecutive successes are part of the State.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields

from iker_envs.geometry import Array, namespace


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
    """Weights and scales of the rows; ValueError for a scale that is not above 0."""

    distance: float = 0.3
    direction: float = 1.0
    alignment: float = 1.0
    bonus: float = 2.0
    penalty: float = 1.0
    length_scale_m: float = 0.1  # of the distance and alignment kernels
    progress_per_m: float = 40.0
    progress_limit: float = 2.0
    fine_scale_m: float = 0.02  # a second, narrow kernel: the last centimetres count
    success_m: float = 0.02  # of the bonus
    success_steps: int = 5
    motion_cost: float = 0.04
    drop_cost: float = 10.0
    force_limit_N: float = 60.0
    force_cost: float = 0.01
    others_cost: float = 10.0  # per metre

    def __post_init__(self) -> None:
        for name in ("length_scale_m", "fine_scale_m", "success_m", "success_steps", "progress_limit"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} of the rewards is above 0, not {getattr(self, name)!r}")


def distance(state: State, config: RewardConfig) -> Array:
    """Gripper near the object: 1 / (1 + (d / scale)^2); its heavy tail gives a slope from afar."""
    return 1.0 / (1.0 + (state.gripper_distance_m / config.length_scale_m) ** 2)


def direction(state: State, config: RewardConfig) -> Array:
    """Motion towards the target: the decrease of the keypoint error, clipped."""
    progress = config.progress_per_m * (state.error_before_m - state.error_m)
    return namespace(progress).clip(progress, -config.progress_limit, config.progress_limit)


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
    xp = namespace(state.error_m)
    force = state.contact_force_N - config.force_limit_N
    terms = (
        config.motion_cost * xp.sum(state.action**2, axis=-1),
        config.drop_cost * state.dropped,
        config.force_cost * xp.clip(force, 0.0, 100.0),
        config.others_cost * xp.clip(state.others_moved_m, 0.0, 0.1),
    )
    return -sum(known(term) for term in terms)


ROWS: Mapping[str, Callable[[State, RewardConfig], Array]] = {
    "distance": distance,
    "direction": direction,
    "alignment": alignment,
    "bonus": bonus,
    "penalty": penalty,
}


def known(values: Array) -> Array:
    """The values with NaN (not measurable here) replaced by 0."""
    xp = namespace(values)
    return xp.where(xp.isnan(values), xp.zeros_like(values), values)


def compute_rewards(state: State, config: RewardConfig) -> dict[str, Array]:
    """Weighted rows {name: (N,)}; the reward is their sum."""
    return {name: getattr(config, name) * known(row(state, config)) for name, row in ROWS.items()}


def unmeasured(state: State) -> tuple[str, ...]:
    """Names of the State fields that are NaN in some world."""
    xp = namespace(state.error_m)
    return tuple(f.name for f in fields(state) if bool(xp.any(xp.isnan(getattr(state, f.name)))))
