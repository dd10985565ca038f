"""A trained policy in numpy: what a robot's computer runs, which has no torch.

    arrays and header of a policy file  ->  PlainNetworkPolicy  ->  act(observations)  ->  actions

Also what both forms share: the features of an observation, and the widths in a header.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from iker_agent.learning.policy import save_policy
from iker_agent.learning.stored import shown
from iker_envs.geometry import Array, namespace
from iker_envs.spec import NUM_KEYPOINTS, ObservedKeypoints, Spec, unpack_observation

STD_FLOOR = 0.05  # components that hardly vary in training (a fixed target) are not blown up
CLIP = 5.0  # standard deviations
_FINE_M = 0.03  # scale of the saturating copy of the error: the last centimetres stay visible
_MAX_LAYERS = 8  # of a network in a file, and their width: what is made before its tensors are compared
_MAX_WIDTH = 1024


def features(observation: Array, spec: Spec) -> Array:
    """The observation (N, obs) and the relative vectors in it, (N, feature_dim)."""
    xp = namespace(observation)
    seen = unpack_observation(spec, observation)
    gripper = seen.gripper_pose[:, :3]
    if isinstance(seen, ObservedKeypoints):
        shape = (observation.shape[0], 3 * NUM_KEYPOINTS)
        keypoints = xp.reshape(seen.keypoints_m, shape)
        targets = xp.reshape(seen.targets_m, shape)
        near = keypoints - xp.tile(gripper, (1, NUM_KEYPOINTS))
    else:
        keypoints = seen.object_pose[:, :3]
        targets = seen.target_pose[:, :3]
        near = keypoints - gripper
    error = targets - keypoints
    return xp.concat([observation, error, xp.tanh(error / _FINE_M), near], axis=-1)


def feature_dim(spec: Spec) -> int:
    """Width of `features`."""
    return int(features(np.zeros((1, spec.observation_dim), dtype=np.float32), spec).shape[-1])


def hidden_widths(header: Mapping[str, Any]) -> tuple[int, ...]:
    """The widths of the hidden layers in a policy's header."""
    if "hidden" not in header:
        raise ValueError("the field 'hidden' is missing")
    widths = header["hidden"]
    if not isinstance(widths, list) or not 1 <= len(widths) <= _MAX_LAYERS or not all(map(_is_width, widths)):
        limits = f"1 to {_MAX_LAYERS} whole numbers from 1 to {_MAX_WIDTH}"
        raise ValueError(f"the field 'hidden' is {limits}, not {shown(widths)}")
    return tuple(widths)


def _is_width(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _MAX_WIDTH


class PlainNetworkPolicy:
    """The mean actions of a trained network; equal to those of torch but for rounding."""

    def __init__(self, arrays: Mapping[str, np.ndarray], header: Mapping[str, Any], spec: Spec) -> None:
        self.spec = spec
        self.header = dict(header)
        self._arrays = dict(arrays)
        count = len(hidden_widths(header))
        names = [f"network.trunk.{2 * i}" for i in range(count)]
        self._hidden = [(arrays[f"{name}.weight"].T, arrays[f"{name}.bias"]) for name in names]
        self._head = arrays["network.mean.weight"].T, arrays["network.mean.bias"]
        self._mean = arrays["normaliser.mean"].astype(np.float32)
        self._std = np.maximum(np.sqrt(arrays["normaliser.variance"]), STD_FLOOR).astype(np.float32)

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], header: dict[str, Any], spec: Spec) -> PlainNetworkPolicy:
        """As `NetworkPolicy.from_arrays`; ValueError names a tensor that is missing or does not fit."""
        expected = _shapes(spec, hidden_widths(header))
        if unknown := [name for name in arrays if name not in expected]:
            raise ValueError(f"the tensor {unknown[0]!r} is unknown")
        for name, (shape, kind) in expected.items():
            if name not in arrays:
                raise ValueError(f"the tensor {name!r} is missing")
            found = arrays[name]
            if found.shape not in (shape, shape or (1,)) or found.dtype != kind:
                raise ValueError(f"the tensor {name!r} is {shape} of {kind}, not {found.shape} of {found.dtype}")
        if (arrays["normaliser.variance"] < 0).any() or (arrays["normaliser.count"] <= 0).any():
            raise ValueError("the tensors 'normaliser.variance' and 'normaliser.count' are at least 0")
        return cls(arrays, header, spec)

    def act(self, observations: np.ndarray) -> np.ndarray:
        """Mean actions (N, 6) in [-1, 1] for observations (N, observation_dim)."""
        x = features(np.asarray(observations, dtype=np.float32), self.spec)
        x = np.clip((x - self._mean) / self._std, -CLIP, CLIP)
        for weight, bias in self._hidden:
            x = x @ weight + bias
            x = np.where(x > 0, x, np.expm1(np.minimum(x, 0)))  # ELU
        weight, bias = self._head
        return np.clip(x @ weight + bias, -1.0, 1.0)

    def save(self, path: str | Path) -> None:
        """Write the policy as it was read."""
        save_policy(path, "network", self.spec, self._arrays, self.header)


def _shapes(spec: Spec, hidden: tuple[int, ...]) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    """Name -> shape and type of every array of a policy file."""
    inputs = feature_dim(spec)
    layers = {f"trunk.{2 * i}": sizes for i, sizes in enumerate(pairwise((inputs, *hidden)))}
    layers |= {"mean": (hidden[-1], spec.action_dim), "value": (hidden[-1], 1)}
    single = np.dtype(np.float32)
    double = np.dtype(np.float64)
    shapes: dict[str, tuple[tuple[int, ...], np.dtype]] = {"network.log_std": ((spec.action_dim,), single)}
    for name, (before, after) in layers.items():
        shapes[f"network.{name}.weight"] = (after, before), single
        shapes[f"network.{name}.bias"] = (after,), single
    shapes |= {f"normaliser.{name}": ((inputs,), double) for name in ("mean", "variance")}
    return shapes | {"normaliser.count": ((), double)}
