"""Hyper-parameters of the PPO learner, apart from it so that reading a configuration loads no torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PPOConfig:
    """Hyper-parameters; see docs of each field in the reference run (docs/learning.md)."""

    num_envs: int = 256
    horizon: int = 16  # ticks per rollout
    epochs: int = 5
    mini_batches: int = 4
    discount: float = 0.98
    gae_lambda: float = 0.95
    learning_rate: float = 5e-4
    min_learning_rate: float = 1e-4
    max_learning_rate: float = 1e-3
    kl_target: float = 0.01
    ratio_clip: float = 0.2
    max_grad_norm: float = 1.0
    value_loss: float = 1.0
    budget_s: float = 240.0
    max_steps: int = 5_000_000
    stop_success: float = 0.95  # strict success, deterministic, on fresh copies; confirmed on a second batch
    eval_envs: int = 256
    eval_every_s: float = 15.0
    num_threads: int = 0
