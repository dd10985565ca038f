"""Hyper-parameters of the PPO learner, apart from it so that reading a configuration loads no torch."""

from __future__ import annotations

from dataclasses import dataclass

from iker_agent.limits import check_range, check_sim
from iker_envs.physics.engines import DEFAULT_ENGINE

_TINY = 1e-9  # stands for "above 0"


@dataclass(frozen=True)
class PPOConfig:
    """Hyper-parameters of PPO (Schulman et al. 2017) and the budget of a stage; defaults suit two CPU cores."""

    num_envs: int = 256  # worlds; fewer give more updates per step, more give steadier ones
    horizon: int = 16  # ticks per rollout
    epochs: int = 5  # passes over a rollout
    mini_batches: int = 4  # of a pass
    discount: float = 0.98  # per tick of 0.1 s
    gae_lambda: float = 0.95
    learning_rate: float = 5e-4  # at the start; then adapted to the KL divergence
    min_learning_rate: float = 1e-4
    max_learning_rate: float = 1e-3
    kl_target: float = 0.02  # what the learning rate is adapted to
    ratio_clip: float = 0.2
    max_grad_norm: float = 1.0
    value_loss: float = 1.0  # weight against the policy loss
    entropy: float = 0.005  # weight of the entropy of the actions, times the share that fails where most does
    budget_s: float = 240.0  # wall clock of a stage
    max_steps: int = 5_000_000  # environment steps of a stage
    stop_success: float = 0.95  # strict success, deterministic, on fresh copies: what a sequential test asks for
    eval_envs: int = 64  # copies that are tried at a time: as many settle a policy that is clearly good or bad
    max_eval_envs: int = 512  # copies after which the rate itself decides
    eval_every_s: float = 15.0  # at most so often
    warm_start: bool = True  # try the policy that is shipped for the family of a stage before training
    checkpoint_every_s: float = 30.0  # of `iker train`: what a crash may lose
    num_threads: int = 0  # of the physics; 0: all cores
    sim: str = DEFAULT_ENGINE  # physics engine: threads, warp (MuJoCo Warp, for CUDA devices) or isaac

    def __post_init__(self) -> None:
        check_sim("learn.sim", self.sim, installed=False)  # what was trained elsewhere can be read here
        check_range(self, "num_envs horizon epochs mini_batches max_steps eval_envs max_eval_envs", 1, section="learn.")
        check_range(self, "num_threads eval_every_s checkpoint_every_s", 0, section="learn.")
        check_range(self, "value_loss entropy max_grad_norm", 0, section="learn.")
        check_range(self, "budget_s kl_target ratio_clip", _TINY, section="learn.")
        check_range(self, "learning_rate min_learning_rate max_learning_rate", _TINY, section="learn.")
        check_range(self, "discount gae_lambda stop_success", 0, 1, section="learn.")
        check_range(self, "mini_batches", 1, self.num_envs * self.horizon, section="learn.")
