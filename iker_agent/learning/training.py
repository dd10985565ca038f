"""One training run of PPO: rollouts and updates until good enough, out of budget or asked to stop.

    vector env, config, judge  ->  Training.run()  ->  NetworkPolicy            state() / restore() for checkpoints

Used alike for a stage of the loop (ppo.py) and for a whole task (task_training.py). The loop is ours so that it can
report progress, stop on success and keep to a time budget; the algorithm is skrl's (agent.py).
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from iker_agent.learning import distributed
from iker_agent.learning.agent import make_agent
from iker_agent.learning.curriculum import Curriculum
from iker_agent.learning.evaluate import wilson
from iker_agent.learning.network import ActorCritic, NetworkPolicy, Normaliser
from iker_agent.learning.plain_network import feature_dim
from iker_agent.learning.ppo_config import PPOConfig
from iker_agent.learning.progress import Progress, Report, TrainingRow
from iker_agent.learning.seeds import seed_for
from iker_agent.learning.sequential import SequentialTest
from iker_agent.learning.training_worlds import TrainingWorlds, device_of, parts_of, to_worlds
from iker_envs.geometry import Array
from iker_envs.scene import Goal
from iker_envs.spec import Spec

# What a checkpoint holds; `state` writes these parts and `restore` reads them.
PARTS = (
    "network",
    "normaliser",
    "frozen",
    "value_normaliser",
    "optimiser",
    "torch_rng",
    "progress",
    "num_evals",
    "best",
    "curricula",
)
# (policy, seed) -> (N,) bool: deterministic strict success in each of a batch of fresh copies
Judge = Callable[[NetworkPolicy, int], np.ndarray]
_NORMALISER_LOOKS = 16  # noisy copies of the first observations that the normaliser sees
_LOOK_NOISE = 0.1  # standard deviation of that noise, metres or parts of a quaternion
_SEED_STRIDE = 1_000_003  # a prime between the seeds of evaluations, so that those of two trainings rarely meet
_WARM_LOG_STD = -1.2  # a policy that is trained further explores at least so much
_EVAL_PAUSE = 3.0  # times the length of an evaluation until the next one: they take a quarter of the time at most
# Evaluate only when success while exploring, by the paper's measure, is at most so far below the goal. The noise of
# exploration keeps the last centimetres from a policy that is exact without it: by the strict measure shoe_place shows
# 0.43 with it where 0.99 are found without.
_WORTH_A_LOOK = 0.4


@dataclass(frozen=True)
class Best:
    """The policy that was found best so far, by the lower end of the 95 % interval, or the one that was good enough."""

    num_success: int
    num_copies: int
    network: dict[str, torch.Tensor]
    normaliser: dict[str, torch.Tensor]

    @property
    def rate(self) -> float:
        """Strict success in the copies in which it was tried."""
        return self.num_success / self.num_copies

    @property
    def surely(self) -> float:
        """What its strict success is at least, in 39 of 40 cases: few copies prove little."""
        return wilson(self.num_success, self.num_copies)[0]


class Training:
    """One run; `after_update(training)` is called after every update and at the end."""

    def __init__(
        self,
        env: TrainingWorlds,
        config: PPOConfig,
        judge: Judge,
        *,
        seed: int = 0,
        report: Report | None = None,
        start: NetworkPolicy | None = None,
        after_update: Callable[[Training], None] | None = None,
    ) -> None:
        torch.manual_seed(seed)
        self.env = env
        self.config = config
        self.judge = judge
        self.seed = seed
        self.start = start
        self.after_update = after_update
        spec: Spec = env.worlds.config.spec
        network = ActorCritic(feature_dim(spec), spec.action_dim)
        normaliser = Normaliser(spec)
        header = {"seed": seed, "training": vars(config).copy(), "goal": goal_header(env.worlds.goal)}
        self.policy = NetworkPolicy(network, normaliser, header)
        self.agent = make_agent(network, normaliser, env, config)
        self.progress = Progress(config.budget_s, config.max_steps, report, distributed.num_processes())
        self.stopping = False  # set it to end the run after the update under way
        self.good = False  # strict success was seen and confirmed
        self.best: Best | None = None
        self._last_eval = time.monotonic()
        self._eval_s = 0.0
        self._num_evals = 0
        self._looked_at = -1  # env steps at the latest look
        self._tick = 0
        self._curricula = [Curriculum(part.worlds) for part in parts_of(env)]

    def run(self) -> NetworkPolicy:
        """Roll out, update, look, stop."""
        fresh = self.progress.steps == 0
        if fresh and self.start:
            self.adopt(self.start)
        process = distributed.rank()
        observation = self.begin(seed_for(self.seed, process, self.progress.steps))
        if fresh and not self.start:
            self._warm_up_normaliser(observation)
        if fresh and process:
            torch.manual_seed(seed_for(self.seed, process))  # explore otherwise than process 0
        while not distributed.agreed(self.progress.spent() or self.stopping):
            observation, row = self.rollout_and_update(observation)
            self.good = distributed.agreed(bool(self._worth_a_look(row) and self._good_enough()))
            if self.good:
                break
            if self.after_update:
                self.after_update(self)
        return self._finished()

    def begin(self, seed: int) -> torch.Tensor:
        """New episodes in all worlds; their observations (N, obs)."""
        return torch.as_tensor(self.env.reset(seed=seed)[0])

    def rollout_and_update(self, observation: torch.Tensor) -> tuple[torch.Tensor, TrainingRow]:
        """`horizon` ticks and one update from the observations (N, obs); the latest ones and the new row of the log."""
        for _ in range(self.config.horizon):
            observation = self._step(observation)
        distributed.average_buffers(self.policy.normaliser, self.agent.value_normaliser)
        row = self.progress.log(self.agent)
        worst = max(curriculum.worst for curriculum in self._curricula)
        self.agent.cfg.entropy_loss_scale = self.config.entropy * worst  # noise is for what fails still
        return observation, row

    def _step(self, observation: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            actions, _ = self.agent.act(observation, None, timestep=self._tick, timesteps=0)
        configurations = [part.worlds.episode.configuration.copy() for part in parts_of(self.env)]
        next_observation, reward, terminated, truncated, info = self.env.step(to_worlds(self.env, actions))
        self.progress.observe(reward, terminated, truncated, info)
        successes = [info[name] & ~terminated for name in ("is_success", "is_success_strict")]
        self._turn_to_failures(configurations, terminated | truncated, *successes)
        after = torch.as_tensor(next_observation)
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
            infos={"final_obs": torch.as_tensor(info["final_obs"])},
            timestep=self._tick,
            timesteps=0,
        )
        self.agent.post_interaction(timestep=self._tick, timesteps=0)
        self._tick += 1
        return after

    def _turn_to_failures(self, configurations: list[np.ndarray], ended: Array, success: Array, strict: Array) -> None:
        """The configurations of the episodes under way, by part of the worlds; those whose episodes fail come again."""
        if not ended.any():
            return
        ends = np.cumsum([len(part) for part in configurations])[:-1]
        flags = [np.split(self.env.worlds.arrays.host(part), ends) for part in (ended, success, strict)]
        for curriculum, configuration, over, good, exact in zip(self._curricula, configurations, *flags, strict=True):
            curriculum.see(configuration[over], good[over], exact[over])

    def _warm_up_normaliser(self, observation: torch.Tensor) -> None:
        """See the range of observations once before the first update; log probabilities stay comparable then."""
        noise = np.random.default_rng(self.seed).normal(0.0, _LOOK_NOISE, size=(_NORMALISER_LOOKS, *observation.shape))
        bound = self.env.worlds.config.spec.observation_bound()
        for batch in noise:
            seen = np.clip(observation.cpu().numpy() + batch, -bound, bound)
            self.policy.normaliser(torch.as_tensor(seen).float().to(observation.device), train=True)
        distributed.average_buffers(self.policy.normaliser)

    # -- looking whether it is good enough -----------------------------------------------------------------------

    def adopt(self, policy: NetworkPolicy) -> None:
        """Go on from a policy's weights, exploring, and from its normaliser, which is frozen from here on."""
        self.policy.network.load_state_dict(policy.network.state_dict())
        self.policy.normaliser.load_state_dict(policy.normaliser.state_dict())
        self.policy.normaliser.frozen = True
        with torch.no_grad():
            self.policy.network.log_std.clamp_(min=_WARM_LOG_STD)

    def _worth_a_look(self, row: TrainingRow) -> bool:
        due = time.monotonic() - self._last_eval > max(self.config.eval_every_s, _EVAL_PAUSE * self._eval_s)
        near = row.success > self.config.stop_success - _WORTH_A_LOOK
        return distributed.rank() == 0 and due and near

    def _good_enough(self) -> bool:
        """Is deterministic strict success good enough? A sequential test over batches of fresh copies."""
        began_s = time.monotonic()
        test = SequentialTest(self.config.stop_success, self.config.max_eval_envs)
        num_success = 0
        num_copies = 0
        while (verdict := test.verdict(num_success, num_copies)) is None:
            self._num_evals += 1
            strict = self.judge(self.policy, self.seed + _SEED_STRIDE * self._num_evals)
            num_success += int(strict.sum())
            num_copies += len(strict)
        self.progress.evaluated(num_success / num_copies)
        self._keep(num_success, num_copies, verdict)
        self._looked_at = self.progress.steps
        self._last_eval = time.monotonic()
        self._eval_s = self._last_eval - began_s
        return verdict

    def _keep(self, num_success: int, num_copies: int, good: bool) -> None:
        """Remember the policy of now if it is good enough, or none before was surely as good."""
        parts = (self.policy.network, self.policy.normaliser)
        found = Best(num_success, num_copies, *(copy.deepcopy(part.state_dict()) for part in parts))
        if good or self.best is None or found.surely > self.best.surely:
            self.best = found

    def _finished(self) -> NetworkPolicy:
        distributed.check_equal(self.policy.network)
        if self.best and not self.good and not self.stopping:  # who asked it to stop may want it to go on from here
            self.good = self._looked_at < self.progress.steps and self._good_enough()
            if not self.good:
                self.policy.network.load_state_dict(self.best.network)
                self.policy.normaliser.load_state_dict(self.best.normaliser)
        self.policy.network.cpu()
        self.policy.normaliser.cpu()
        self.progress.close()
        self.describe()
        if self.after_update:
            self.after_update(self)
        return self.policy

    def describe(self) -> None:
        """Bring the policy's header up to date."""
        self.policy.header |= {"env_steps": self.progress.steps, "seconds": round(self.progress.seconds, 1)}
        rate = self.best.rate if self.best else float("nan")
        self.policy.header |= {"success_strict": rate, "good_enough": self.good}

    # -- checkpoints ---------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """All that a later run needs to go on: tensors and plain values only."""
        return {
            "network": self.policy.network.state_dict(),
            "normaliser": self.policy.normaliser.state_dict(),
            "frozen": self.policy.normaliser.frozen,
            "value_normaliser": self.agent.value_normaliser.state_dict(),
            "optimiser": self.agent.optimizer.state_dict(),  # the learning rate is in it
            "torch_rng": torch.get_rng_state(),
            "progress": self.progress.state(),
            "num_evals": self._num_evals,
            "best": [vars(self.best)] if self.best else [],
            "curricula": [curriculum.state() for curriculum in self._curricula],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from an earlier `state`; the worlds begin new episodes. ValueError names a part that does not fit."""
        readers: dict[str, Callable[[Any], object]] = {
            "network": self._restore_network,
            "normaliser": self.policy.normaliser.load_state_dict,
            "frozen": self._restore_frozen,
            "value_normaliser": self.agent.value_normaliser.load_state_dict,
            "optimiser": self.agent.optimizer.load_state_dict,
            "progress": self.progress.restore,
            "num_evals": self._restore_num_evals,
            "best": self._restore_best,
            "curricula": self._restore_curricula,
            "torch_rng": torch.set_rng_state,
        }
        for part, read in readers.items():
            try:
                read(state[part])
            except Exception as error:  # a damaged part provokes whatever it likes in torch's readers and ours
                reason = (str(error).splitlines() or [type(error).__name__])[0]
                raise ValueError(f"its part {part!r} does not fit ({reason.rstrip(':')})") from error
        if distributed.rank() or device_of(self.env) != "cpu":  # what is kept is the generator of the CPU of process 0
            torch.manual_seed(seed_for(self.seed, distributed.rank(), self.progress.steps))

    def _restore_network(self, state: Mapping[str, torch.Tensor]) -> None:
        self.policy.network.load_state_dict(state)
        if not all(values.isfinite().all() for values in self.policy.network.parameters()):
            raise ValueError("it holds numbers that are not finite")

    def _restore_best(self, kept: Sequence[Mapping[str, Any]]) -> None:
        """None or one; what does not fit the network is found now, not at the end of the training."""
        for parts in kept:
            self.best = Best(**parts)
            copy.deepcopy(self.policy.network).load_state_dict(self.best.network)
            copy.deepcopy(self.policy.normaliser).load_state_dict(self.best.normaliser)

    def _restore_curricula(self, states: Sequence[Mapping[str, Sequence[float]]]) -> None:
        """One for each part of the worlds."""
        for curriculum, state in zip(self._curricula, states, strict=True):
            curriculum.restore(state)

    def _restore_frozen(self, frozen: bool) -> None:
        if not isinstance(frozen, bool):
            raise ValueError(f"it is true or false, not {frozen!r}")
        self.policy.normaliser.frozen = frozen

    def _restore_num_evals(self, count: int) -> None:
        if not isinstance(count, int):
            raise ValueError(f"it is a whole number, not {count!r}")
        self._num_evals = count


def goal_header(goal: Goal) -> dict[str, Any]:
    """What a policy file says about its goal."""
    return {"object": goal.object, "grasp": goal.grasp, "target_pose": goal.target_pose.tolist()}
