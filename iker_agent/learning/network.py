"""The policy network and what runs it after training: features, normaliser, shared trunk, two heads.

    observation (N, obs)  ->  features  ->  normalised  ->  trunk 256-128-64 ELU  ->  mean action, value

The differences that matter (target minus keypoint, keypoint minus gripper) are formed inside, so that every policy of a
spec reads the same observation. `NetworkPolicy` needs torch but not the training library.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from iker_agent.learning.plain_network import CLIP, STD_FLOOR, feature_dim, features, hidden_widths
from iker_agent.learning.policy import save_policy
from iker_envs.spec import Spec

HIDDEN = (256, 128, 64)  # paper, Section III-D
START_LOG_STD = -0.5  # a standard deviation of 0.61
_MEAN_GAIN = 0.01  # of the first mean actions: near zero, so that exploration is the noise alone


class Normaliser(nn.Module):
    """Running mean and standard deviation of the features; `train=True` updates them (Chan et al. 1979)."""

    mean: torch.Tensor  # (F,) float64, as the variance
    variance: torch.Tensor
    count: torch.Tensor  # () float64, rows of features seen

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.spec = spec
        size = feature_dim(spec)
        self.register_buffer("mean", torch.zeros(size, dtype=torch.float64))
        self.register_buffer("variance", torch.ones(size, dtype=torch.float64))
        self.register_buffer("count", torch.ones((), dtype=torch.float64))
        self.frozen = False

    def forward(self, observation: torch.Tensor | None, train: bool = False) -> torch.Tensor | None:
        """Normalised features (N, F) of observations (N, obs); None stays None."""
        if observation is None:
            return None
        with torch.no_grad():
            x = features(observation, self.spec)
            if train and not self.frozen:
                self._update(x.double())
            std = self.variance.sqrt().clamp(min=STD_FLOOR).float()
            return ((x - self.mean.float()) / std).clamp(-CLIP, CLIP)

    def _update(self, x: torch.Tensor) -> None:
        count = x.shape[0]
        delta = x.mean(dim=0) - self.mean
        total = self.count + count
        m2 = self.variance * self.count + x.var(dim=0) * count + delta**2 * self.count * count / total
        self.mean = self.mean + delta * count / total
        self.variance = m2 / total
        self.count = total


class ActorCritic(nn.Module):
    """Shared trunk with a mean-action head, a state-independent log standard deviation, and a value head."""

    def __init__(self, inputs: int, actions: int, hidden: tuple[int, ...] = HIDDEN) -> None:
        super().__init__()
        self.hidden = tuple(hidden)
        layers = []
        width = inputs
        for size in hidden:
            layers += [nn.Linear(width, size), nn.ELU()]
            width = size
        self.trunk = nn.Sequential(*layers)
        self.mean = nn.Linear(width, actions)
        self.value = nn.Linear(width, 1)
        self.log_std = nn.Parameter(torch.full((actions,), START_LOG_STD))
        nn.init.orthogonal_(self.mean.weight, _MEAN_GAIN)
        nn.init.zeros_(self.mean.bias)


class NetworkPolicy:
    """A trained policy: acts with the mean action."""

    def __init__(self, network: ActorCritic, normaliser: Normaliser, header: Mapping[str, Any] | None = None) -> None:
        self.network = network
        self.normaliser = normaliser
        self.spec = normaliser.spec
        self.header = dict(header or {})

    def act(self, observations: np.ndarray) -> np.ndarray:
        """Mean actions (N, 6) in [-1, 1] for observations (N, observation_dim)."""
        with torch.no_grad():
            there = torch.as_tensor(observations, dtype=torch.float32, device=self.normaliser.mean.device)
            return self.network.mean(self.network.trunk(self.normaliser(there))).clamp(-1.0, 1.0).cpu().numpy()

    def save(self, path: str | Path) -> None:
        """Write weights, normaliser, network shape, spec and training facts into one file."""
        arrays = {f"network.{k}": v.detach().cpu().numpy() for k, v in self.network.state_dict().items()}
        arrays |= {f"normaliser.{k}": v.cpu().numpy() for k, v in self.normaliser.state_dict().items()}
        header = {**self.header, "hidden": list(self.network.hidden)}
        save_policy(path, "network", self.spec, arrays, header)

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], header: dict[str, Any], spec: Spec) -> NetworkPolicy:
        """The policy that `save` wrote; ValueError names a field or tensor that is missing or does not fit."""
        network = ActorCritic(feature_dim(spec), spec.action_dim, hidden_widths(header))
        normaliser = Normaliser(spec)
        modules = {"network.": network, "normaliser.": normaliser}
        expected = {prefix + k: v for prefix, module in modules.items() for k, v in module.state_dict().items()}
        if unknown := [name for name in arrays if name not in expected]:
            raise ValueError(f"the tensor {unknown[0]!r} is unknown")
        for name, tensor in expected.items():
            if name not in arrays:
                raise ValueError(f"the tensor {name!r} is missing")
            found = torch.from_numpy(arrays[name].copy())
            if tensor.ndim == 0 and found.shape == (1,):  # a file holds no array without dimensions
                found = found[0]
            if found.shape != tensor.shape or found.dtype != tensor.dtype:
                wanted = f"{tuple(tensor.shape)} of {tensor.dtype}"
                raise ValueError(f"the tensor {name!r} is {wanted}, not {tuple(found.shape)} of {found.dtype}")
            tensor.copy_(found)
        if (normaliser.variance < 0).any() or normaliser.count <= 0:
            raise ValueError("the tensors 'normaliser.variance' and 'normaliser.count' are at least 0")
        return cls(network, normaliser, header)
