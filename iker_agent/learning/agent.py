"""skrl's PPO around our network and normaliser.

    make_agent(network, normaliser, env, config)  ->  FinalObservationPPO (act, record_transition, facts)

Truncated episodes bootstrap from the observation that ended them, not from the one after the reset; after every update
`facts` says how far it went.

Fields of skrl's PPO are used that have no public name (skrl 2.1): `_current_next_observations`, from which the next
rollout goes on, `_current_log_prob` and `_current_values` of the latest actions, and `_observation_preprocessor` and
`_value_preprocessor`, the normalisers that it has made.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from skrl.agents.torch.ppo import PPO, PPO_CFG
from skrl.memories.torch import RandomMemory
from skrl.models.torch import DeterministicMixin, GaussianMixin, Model
from skrl.resources.preprocessors.torch import RunningStandardScaler
from skrl.resources.schedulers.torch import KLAdaptiveLR

from iker_agent.learning.network import ActorCritic, Normaliser
from iker_agent.learning.ppo_config import PPOConfig
from iker_agent.learning.training_worlds import TrainingWorlds, device_of

_MIN_LOG_STD = -3.0  # of the actions: a standard deviation of 0.05
_MAX_LOG_STD = 0.0  # of 1


class _Model(GaussianMixin, DeterministicMixin, Model):
    """skrl's view of ActorCritic: policy and value share one trunk.

    skrl asks for the actions of some observations, then for the values of the same ones: the trunk runs once for both,
    forwards and backwards, which gives the gradient of two runs but for rounding.
    """

    def __init__(self, network: ActorCritic, observation_space, action_space, device: str) -> None:
        Model.__init__(self, observation_space=observation_space, action_space=action_space, device=device)
        GaussianMixin.__init__(self, role="policy", min_log_std=_MIN_LOG_STD, max_log_std=_MAX_LOG_STD)
        DeterministicMixin.__init__(self, role="value")
        self.network = network
        self._hidden: tuple[torch.Tensor, torch.Tensor] | None = None  # observations, what the trunk made of them

    def act(self, inputs, *, role: str = "", **_):
        mixin = GaussianMixin if role == "policy" else DeterministicMixin
        return mixin.act(self, inputs, role=role)

    def compute(self, inputs, role: str = ""):
        observations = inputs["observations"]
        if role == "policy":
            hidden = self.network.trunk(observations)
            self._hidden = (observations, hidden)
            return self.network.mean(hidden), {"log_std": self.network.log_std}
        kept, self._hidden = self._hidden, None  # used once, since the weights may change before the next time
        hidden = kept[1] if kept and kept[0] is observations else self.network.trunk(observations)
        return self.network.value(hidden), {}


@dataclass(frozen=True)
class UpdateFacts:
    """What an update did."""

    kl: float  # mean divergence of the policy from the one that gathered the rollout, all epochs together
    entropy: float  # of the action distribution, nats
    explained_variance: float  # 1 - Var(return - value) / Var(return), of the values before the update


class FinalObservationPPO(PPO):
    """skrl's PPO, bootstrapping truncations from the observation that ended the episode (same-step autoreset)."""

    facts = UpdateFacts(math.nan, math.nan, math.nan)

    @property
    def value_normaliser(self) -> torch.nn.Module:
        """Running mean and standard deviation of the returns."""
        return self._value_preprocessor

    def record_transition(
        self, *, observations, actions, rewards, next_observations, terminated, truncated, infos, **_
    ) -> None:
        """In place of skrl's: the value of `infos["final_obs"]` is added to the reward of an episode that was cut.

        Only worlds whose episode was cut are looked at. `rewards` (N, 1) is changed.
        """
        cut = truncated[:, 0]
        if cut.any():
            with torch.no_grad():
                last = {"observations": self._observation_preprocessor(infos["final_obs"][cut])}
                values = self._value_preprocessor(self.value.act(last, role="value")[0], inverse=True)
            rewards[cut] += self.cfg.discount_factor * values
        self._current_next_observations = next_observations
        self._current_next_states = None
        self.memory.add_samples(
            observations=observations,
            states=None,
            actions=actions,
            rewards=rewards,
            terminated=terminated,
            truncated=truncated,
            log_prob=self._current_log_prob,
            values=self._current_values,
        )

    def update(self, *, timestep: int, timesteps: int) -> None:
        """As skrl's, then `facts`."""
        values = self.memory.get_tensor_by_name("values").clone()  # skrl normalises those in the memory in place
        super().update(timestep=timestep, timesteps=timesteps)
        with torch.no_grad():
            self.facts = UpdateFacts(self._kl(), self._entropy(), self._explained_variance(values))

    def _kl(self) -> float:
        """Mean of r - 1 - log r over the rollout, r the ratio of the probabilities; never negative (Schulman 2020)."""
        seen, taken, before = (self._rollout_of(name) for name in ("observations", "actions", "log_prob"))
        inputs = {"observations": self._observation_preprocessor(seen), "taken_actions": taken}
        ratio = self.policy.act(inputs, role="policy")[1]["log_prob"] - before
        return float((ratio.exp() - 1.0 - ratio).mean())

    def _entropy(self) -> float:
        log_std = self.policy.network.log_std.clamp(_MIN_LOG_STD, _MAX_LOG_STD)
        return float((log_std + 0.5 * math.log(2.0 * math.pi * math.e)).sum())

    def _explained_variance(self, values: torch.Tensor) -> float:
        returns = self._value_preprocessor(self.memory.get_tensor_by_name("returns"), inverse=True)
        spread = float(returns.var())
        return 1.0 - float((returns - values).var()) / spread if spread > 0 else math.nan

    def _rollout_of(self, name: str) -> torch.Tensor:
        return self.memory.get_tensor_by_name(name).flatten(0, 1)


def make_agent(
    network: ActorCritic, normaliser: Normaliser, env: TrainingWorlds, config: PPOConfig
) -> FinalObservationPPO:
    """skrl's agent around our network and normaliser, which go to where the worlds are."""
    device = device_of(env)
    network.to(device)
    normaliser.to(device)
    cfg = PPO_CFG()
    cfg.rollouts = config.horizon
    cfg.learning_epochs = config.epochs
    cfg.mini_batches = config.mini_batches
    cfg.discount_factor = config.discount
    cfg.gae_lambda = config.gae_lambda
    cfg.learning_rate = config.learning_rate
    cfg.learning_rate_scheduler = KLAdaptiveLR
    cfg.learning_rate_scheduler_kwargs = {
        "kl_threshold": config.kl_target,
        "min_lr": config.min_learning_rate,
        "max_lr": config.max_learning_rate,
    }
    cfg.ratio_clip = config.ratio_clip
    cfg.value_clip = 0.0  # none
    cfg.value_loss_scale = config.value_loss
    cfg.entropy_loss_scale = config.entropy
    cfg.grad_norm_clip = config.max_grad_norm
    cfg.time_limit_bootstrap = True
    cfg.observation_preprocessor = lambda: normaliser
    cfg.value_preprocessor = RunningStandardScaler
    cfg.value_preprocessor_kwargs = {"size": 1, "device": device}
    cfg.experiment.write_interval = 0  # scalars.py and checkpoint.py do both
    cfg.experiment.checkpoint_interval = 0
    spaces = {"observation_space": env.single_observation_space, "action_space": env.single_action_space}
    model = _Model(network, **spaces, device=device)
    memory = RandomMemory(memory_size=config.horizon, num_envs=env.num_envs, device=device)
    models = {"policy": model, "value": model}
    agent = FinalObservationPPO(models=models, memory=memory, cfg=cfg, device=device, **spaces)
    agent.init()
    agent.enable_training_mode(True)
    return agent
