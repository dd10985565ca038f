"""PPO (skrl) on hundreds of randomised copies of a scene: the learner behind a stage.

    learn(scene, goal)  ->  vector env  ->  rollouts and updates until good enough  ->  NetworkPolicy

The loop is ours so that it can report progress, stop on success and keep to a time budget; the algorithm is skrl's.
Truncated episodes bootstrap from the observation that ended them, not from the one after the reset.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import gymnasium as gym
import numpy as np
import torch
from skrl.agents.torch.ppo import PPO, PPO_CFG
from skrl.memories.torch import RandomMemory
from skrl.models.torch import DeterministicMixin, GaussianMixin, Model
from skrl.resources.preprocessors.torch import RunningStandardScaler
from skrl.resources.schedulers.torch import KLAdaptiveLR

import iker_envs  # noqa: F401 (registers the environments)
from iker_agent.learning.evaluate import evaluate
from iker_agent.learning.network import ActorCritic, NetworkPolicy, Normaliser, feature_dim
from iker_agent.learning.ppo_config import PPOConfig
from iker_agent.learning.progress import Progress, Row
from iker_envs.scene import Goal, Scene
from iker_envs.spec import Spec
from iker_envs.vector_env import StageVectorEnv


class _Model(GaussianMixin, DeterministicMixin, Model):
    """skrl's view of ActorCritic: policy and value share one trunk."""

    def __init__(self, network: ActorCritic, observation_space, action_space) -> None:
        Model.__init__(self, observation_space=observation_space, action_space=action_space, device="cpu")
        GaussianMixin.__init__(self, role="policy", min_log_std=-3.0, max_log_std=0.0)
        DeterministicMixin.__init__(self, role="value")
        self.network = network

    def act(self, inputs, *, role: str = "", **_):
        mixin = GaussianMixin if role == "policy" else DeterministicMixin
        return mixin.act(self, inputs, role=role)

    def compute(self, inputs, role: str = ""):
        hidden = self.network.trunk(inputs["observations"])
        if role == "policy":
            return self.network.mean(hidden), {"log_std": self.network.log_std}
        return self.network.value(hidden), {}


class FinalObservationPPO(PPO):
    """skrl's PPO, bootstrapping truncations from the observation that ended the episode (same-step autoreset)."""

    def record_transition(self, *, next_observations, infos, **rest) -> None:
        """As skrl's, with `infos["final_obs"]` in place of the observation after the reset for the bootstrap only."""
        super().record_transition(next_observations=infos["final_obs"], infos=infos, **rest)
        self._current_next_observations = next_observations


def make_agent(network: ActorCritic, normaliser: Normaliser, env: StageVectorEnv, config: PPOConfig) -> PPO:
    """skrl's agent around our network and normaliser."""
    cfg = PPO_CFG()
    cfg.rollouts, cfg.learning_epochs, cfg.mini_batches = config.horizon, config.epochs, config.mini_batches
    cfg.discount_factor, cfg.gae_lambda = config.discount, config.gae_lambda
    cfg.learning_rate, cfg.learning_rate_scheduler = config.learning_rate, KLAdaptiveLR
    cfg.learning_rate_scheduler_kwargs = {
        "kl_threshold": config.kl_target,
        "min_lr": config.min_learning_rate,
        "max_lr": config.max_learning_rate,
    }
    cfg.ratio_clip, cfg.value_clip, cfg.value_loss_scale = config.ratio_clip, 0.0, config.value_loss
    cfg.grad_norm_clip, cfg.time_limit_bootstrap = config.max_grad_norm, True
    cfg.observation_preprocessor = lambda: normaliser
    cfg.value_preprocessor, cfg.value_preprocessor_kwargs = RunningStandardScaler, {"size": 1, "device": "cpu"}
    cfg.experiment.write_interval = cfg.experiment.checkpoint_interval = 0
    spaces = {"observation_space": env.single_observation_space, "action_space": env.single_action_space}
    model = _Model(network, **spaces)
    memory = RandomMemory(memory_size=config.horizon, num_envs=env.num_envs, device="cpu")
    models = {"policy": model, "value": model}
    agent = FinalObservationPPO(models=models, memory=memory, cfg=cfg, device="cpu", **spaces)
    agent.init()
    agent.enable_training_mode(True)
    return agent


@dataclass(frozen=True)
class PPOLearner:
    """Trains a policy for one stage."""

    config: PPOConfig = field(default_factory=PPOConfig)
    randomisation: object = None

    def learn(
        self,
        scene: Scene,
        goal: Goal,
        init: NetworkPolicy | None = None,
        seed: int = 0,
        report: Callable[[Row], None] | None = None,
    ) -> NetworkPolicy:
        """Train until strict success is good enough or the budget ends; `report` gets a Row per update.

        `init` is an earlier policy to start from; it is tried before anything is trained.
        """
        torch.set_num_threads(1)  # two busy pools of threads on few cores slow each other down several times
        kwargs = {"scene": scene, "goal": goal, "randomisation": self.randomisation}
        make = {"num_threads": self.config.num_threads, **kwargs}
        env = gym.make_vec("IKER-Stage-v0", num_envs=self.config.num_envs, random_first_age=True, **make)
        try:
            return _Training(env, make, self.config, init, seed, report).run()
        finally:
            env.close()


class _Training:
    """One training run."""

    def __init__(self, env: StageVectorEnv, make: dict, config: PPOConfig, init, seed: int, report) -> None:
        torch.manual_seed(seed)
        self.env, self.make, self.config, self.seed = env, make, config, seed
        spec: Spec = env.stage.config.spec
        network, normaliser = ActorCritic(feature_dim(spec), spec.action_dim), Normaliser(spec)
        if init is not None:
            network.load_state_dict(init.network.state_dict())
            normaliser.load_state_dict(init.normaliser.state_dict())
            normaliser.frozen = True
            with torch.no_grad():
                network.log_std.clamp_(min=-1.2)  # explore again
        header = {"seed": seed, "training": vars(config).copy(), "goal": goal_header(env)}
        self.policy = NetworkPolicy(network, normaliser, header)
        self.agent = make_agent(network, normaliser, env, config)
        self.progress = Progress(config.budget_s, config.max_steps, report)
        self.warm = init is not None
        self._last_eval, self._num_evals = time.monotonic(), 0

    def run(self) -> NetworkPolicy:
        """Roll out, update, look, stop."""
        observation, _ = self.env.reset(seed=self.seed)
        if self.warm and self._good_enough():
            return self._finished()
        if not self.warm:
            self._warm_up_normaliser(observation)
        observation, tick = torch.from_numpy(observation), 0
        while not self.progress.spent():
            for _ in range(self.config.horizon):
                observation = self._tick(observation, tick)
                tick += 1
            row = self.progress.log(self.agent)
            due = time.monotonic() - self._last_eval > self.config.eval_every_s
            if due and row.success_strict > self.config.stop_success - 0.25 and self._good_enough():
                break
        return self._finished()

    def _warm_up_normaliser(self, observation: np.ndarray) -> None:
        """See the range of observations once before the first update; log probabilities stay comparable then."""
        noise = np.random.default_rng(self.seed).normal(0.0, 0.1, size=(16, *observation.shape))
        bound = self.env.stage.config.spec.observation_bound()
        for batch in noise:
            self.policy.normaliser(torch.as_tensor(np.clip(observation + batch, -bound, bound)).float(), train=True)

    def _tick(self, observation: torch.Tensor, tick: int) -> torch.Tensor:
        with torch.no_grad():
            actions, _ = self.agent.act(observation, None, timestep=tick, timesteps=0)
        after, reward, terminated, truncated, info = self.env.step(actions.numpy())
        self.progress.observe(reward, terminated, truncated, info)
        after = torch.from_numpy(after)
        column = lambda x, kind: torch.as_tensor(x, dtype=kind)[:, None]  # noqa: E731
        self.agent.record_transition(
            observations=observation,
            states=None,
            actions=actions,
            rewards=column(reward, torch.float32).clone(),
            next_observations=after,
            next_states=None,
            terminated=column(terminated, torch.bool),
            truncated=column(truncated, torch.bool),
            infos={"final_obs": torch.from_numpy(info["final_obs"])},
            timestep=tick,
            timesteps=0,
        )
        self.agent.post_interaction(timestep=tick, timesteps=0)
        return after

    def _good_enough(self) -> bool:
        """Deterministic strict success on two fresh batches of copies."""
        rates = []
        for _ in range(2):
            self._num_evals += 1
            seed = self.seed + 1_000_003 * self._num_evals
            result = evaluate(self.policy, num_envs=self.config.eval_envs, seed=seed, **self.make)
            rates.append(result.success_rate_strict)
            self.progress.evaluated(result.success_rate_strict)
            if rates[-1] < self.config.stop_success:
                break
        self._last_eval = time.monotonic()
        return min(rates) >= self.config.stop_success

    def _finished(self) -> NetworkPolicy:
        self.progress.close()
        self.policy.header |= {"env_steps": self.progress.steps, "seconds": round(self.progress.seconds, 1)}
        self.policy.header["success_strict"] = self.progress.best_eval
        return self.policy


def goal_header(env: StageVectorEnv) -> dict:
    """What a policy file says about its goal."""
    goal = env.stage.goal
    return {"object": goal.object, "grasp": goal.grasp, "target_pose": goal.target_pose.tolist()}
