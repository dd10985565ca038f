"""Our vector environment behind the interface of IsaacGymEnvs' `VecTask` and rl_games' `IVecEnv`.

    task section of a configuration, devices  ->  VecTask  ->  step(actions)  ->  ({"obs"}, reward, done, extras)

Actions, observations, rewards and ends of episodes are torch tensors on `rl_device`. What differs from IsaacGymEnvs is
said in `VecTask`. Interfaces as of IsaacGymEnvs 1.5 (tasks/base/vec_task.py) and rl_games 1.6 (common/ivecenv.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from iker_envs import TRAINING
from iker_envs.contract import check_whole
from iker_envs.documents import shown
from iker_envs.physics.engines import SETTINGS, base_name, engine_settings

try:
    import torch
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("VecTask needs torch; python -m pip install 'iker[agent]'", name="torch") from error

# Keys of `env` in a task section, and the arguments of the vector environment that they are.
ARGUMENTS = {
    "task": "task",
    "stageIndex": "stage_index",
    "observation": "observation",
    "episodeLength": "max_episode_steps",
    "free": "free",
    "graspBank": "grasp_bank",
    "startBank": "start_bank",
    "randomFirstAge": "random_first_age",
    "numThreads": "num_threads",
    "rewards": "rewards",
}
_FACTS = ("numObservations", "numActions", "controlFrequencyInv", "clipActions")  # checked, not chosen
CPU_ENGINE = "threads"


class VecTask:
    """N worlds as a training script for IsaacGymEnvs or rl_games knows them.

    Differences from IsaacGymEnvs:

    - A world whose episode ended has already begun the next one: its row of the observations is the first of the new
      episode, its reward, `reset_buf` and `time_outs` those of the old one, and `extras["final_obs"]` holds the last
      observation. There, the last observation comes first and the reset one step later, whose action is lost.
      `autoreset=False`: nothing begins by itself; call `reset_done()` or `reset_idx` before the next `step`.
    - `reset()` begins new episodes in all worlds; there it only returns what is in the buffer. `reset_idx` fills the
      rows of `obs_buf`; there it depends on the task. Worlds that are not named do not notice.
    - A failed episode is no time-out: `time_outs` is true only where time ran out and nothing else ended the episode.
    - Tensors are new at every step; there they are the same buffers, filled again.

    Args:
        cfg: the task section of a configuration (`iker train TASK --export-isaacgymenvs DIR` writes one): name,
            `physics_engine` (our engine and its settings, "threads" by default), `env`, `task.randomize` and
            `task.randomization_params` (our ranges by quantity).
        rl_device: where the tensors are that go in and out.
        sim_device: "cpu"; for engines that run there another one, where they compute unless their settings say else.
        graphics_device_id, headless, virtual_screen_capture, force_render: taken for compatibility; nothing is drawn.
        seed: world i is seeded with seed + i.
        autoreset: begin the next episode of a world at once.

    Raises:
        ValueError: A key that is unknown, or a number that is not what this environment has.
    """

    metadata: ClassVar[dict[str, list[str]]] = {"render.modes": []}
    # On `sim_device`, new tensors whenever they change
    obs_buf: torch.Tensor  # (N, obs)
    rew_buf: torch.Tensor  # (N,)
    reset_buf: torch.Tensor  # (N,) long, 1 where an episode ended at the last step
    timeout_buf: torch.Tensor  # (N,) bool
    progress_buf: torch.Tensor  # (N,) long, ticks since the episode began

    def __init__(
        self,
        cfg: Mapping[str, Any],
        rl_device: str = "cpu",
        sim_device: str = "cpu",
        graphics_device_id: int = -1,
        headless: bool = True,
        virtual_screen_capture: bool = False,
        force_render: bool = False,
        *,
        seed: int = 0,
        autoreset: bool = True,
    ) -> None:
        self.cfg = cfg
        self.rl_device = rl_device
        self.device = sim_device
        self.headless = True
        self.autoreset = autoreset
        self._on_host = _engine(cfg) == CPU_ENGINE  # else the engine's tensors are taken and given as they are
        self.env = _make_env(cfg, sim_device, autoreset)
        self.num_environments = self.env.num_envs
        self.num_agents = 1
        self.num_states = 0
        self.num_observations = int(np.prod(self.env.single_observation_space.shape))
        self.num_actions = int(np.prod(self.env.single_action_space.shape))
        self.obs_space = self.env.single_observation_space
        self.act_space = self.env.single_action_space
        self.state_space = spaces.Box(-np.inf, np.inf, (0,), np.float32)
        self.max_episode_length = self.env.worlds.config.max_steps
        self.control_freq_inv = 1
        self.dt = 1.0 / self.env.worlds.config.spec.control_hz
        self.clip_obs = float("inf")
        self.clip_actions = 1.0
        self.total_train_env_frames = 0
        self.control_steps = 0
        self.extras: dict[str, Any] = {}
        try:
            _check_facts(cfg, self)
        except ValueError:
            self.env.close()
            raise
        self._seed: int | None = seed
        self._begin_all()

    # -- what it is -------------------------------------------------------------------------------------------------

    @property
    def num_envs(self) -> int:
        """N."""
        return self.num_environments

    @property
    def num_obs(self) -> int:
        """Numbers of an observation."""
        return self.num_observations

    @property
    def num_acts(self) -> int:
        """Numbers of an action."""
        return self.num_actions

    @property
    def observation_space(self) -> gym.Space:
        """Of one world."""
        return self.obs_space

    @property
    def action_space(self) -> gym.Space:
        """Of one world, in [-1, 1]."""
        return self.act_space

    def get_number_of_agents(self) -> int:
        """One a world."""
        return self.num_agents

    def has_action_masks(self) -> bool:
        """Every action may be taken at all times."""
        return False

    def get_env_info(self) -> dict[str, Any]:
        """What rl_games asks for before it makes its network."""
        return {
            "observation_space": self.observation_space,
            "action_space": self.action_space,
            "agents": self.num_agents,
            "value_size": 1,
        }

    # -- episodes ---------------------------------------------------------------------------------------------------

    def reset(self) -> dict[str, torch.Tensor]:
        """Begin episodes in all worlds, which the constructor has done before the first step; {"obs": (N, obs)}."""
        if self.control_steps > self._began_at:
            self._begin_all()
        return self._obs_dict()

    def reset_idx(self, env_ids: torch.Tensor) -> None:
        """Begin episodes in the worlds of the indices (M,) and fill their rows of the buffers."""
        ids = torch.as_tensor(env_ids).long().cpu().numpy().reshape(-1)
        if len(ids) and (ids.min() < 0 or ids.max() >= self.num_envs):
            raise ValueError(f"env_ids are from 0 to {self.num_envs - 1}, not {ids.min()} to {ids.max()}")
        if not len(ids):
            return
        mask = np.zeros(self.num_envs, dtype=bool)
        mask[ids] = True
        observation, _ = self.env.reset(options={"reset_mask": mask})
        begun = self._tensor(mask)
        self.obs_buf = torch.where(begun[:, None], self._float(observation), self.obs_buf)
        self.reset_buf = torch.where(begun, 0, self.reset_buf)
        self.progress_buf = self._progress()

    def reset_done(self) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """{"obs": (N, obs)} and the indices (M,) of worlds that ended at the last step; each has begun anew by then."""
        ended = self.reset_buf.nonzero().flatten()
        if not self.autoreset:
            self.reset_idx(ended)
        return self._obs_dict(), ended.to(self.rl_device)

    def step(self, actions: torch.Tensor) -> tuple[dict[str, torch.Tensor], torch.Tensor, torch.Tensor, dict[str, Any]]:
        """One tick of `dt` seconds; actions (N, 6), clipped to [-1, 1].

        Returns:
            {"obs": (N, obs) float}, reward (N,) float, done (N,) long, and extras: "time_outs" (N,) bool, "final_obs"
            (N, obs) with autoreset, and where episodes ended "episode", their mean success and error, as 0-d tensors.
        """
        clipped = torch.clamp(actions.detach(), -self.clip_actions, self.clip_actions)
        given = clipped.cpu().numpy() if self._on_host else clipped.to(self.env.device)
        observation, reward, terminated, truncated, info = self.env.step(given)
        done = self._tensor(terminated | truncated)
        self.obs_buf = self._float(observation)
        self.rew_buf = self._float(reward)
        self.reset_buf = done.long()
        self.timeout_buf = self._tensor(truncated & ~terminated)
        self.progress_buf = self._progress()
        self.control_steps += 1
        self.extras = {"time_outs": self.timeout_buf.to(self.rl_device)}
        if self.autoreset:
            self.extras["final_obs"] = self._float(info["final_obs"]).to(self.rl_device)
        if bool(done.any()):
            self.extras["episode"] = self._episode(info, done)
        return self._obs_dict(), self.rew_buf.to(self.rl_device), self.reset_buf.to(self.rl_device), self.extras

    def zero_actions(self) -> torch.Tensor:
        """Actions (N, 6) that hold still."""
        return torch.zeros((self.num_envs, self.num_actions), dtype=torch.float32, device=self.rl_device)

    def get_state(self) -> torch.Tensor:
        """Privileged observations (N, 0): there are none."""
        return torch.zeros((self.num_envs, 0), dtype=torch.float32, device=self.rl_device)

    def render(self, mode: str = "rgb_array") -> None:
        """Many worlds at once draw no pictures."""

    def close(self) -> None:
        """Free the simulation."""
        self.env.close()

    # -- what the algorithm says ------------------------------------------------------------------------------------

    def set_train_info(self, env_frames: int, *args: Any, **kwargs: Any) -> None:
        """Note how many frames the algorithm has trained on."""
        self.total_train_env_frames = int(env_frames)

    def get_env_state(self) -> dict[str, int]:
        """What a checkpoint should hold of this: the number of frames; worlds begin new episodes after a restart."""
        return {"total_train_env_frames": self.total_train_env_frames}

    def set_env_state(self, env_state: Mapping[str, int] | None) -> None:
        """Go on from `get_env_state`; None, of a checkpoint of another environment, changes nothing."""
        if env_state is not None:
            self.set_train_info(env_state["total_train_env_frames"])

    # -- tensors ----------------------------------------------------------------------------------------------------

    def _begin_all(self) -> None:
        observation, _ = self.env.reset(seed=self._seed)
        self._seed = None  # from here on the worlds' own generators go on
        self._began_at = self.control_steps
        zeros = torch.zeros(self.num_envs, device=self.device)
        self.obs_buf = self._float(observation)
        self.rew_buf = zeros
        self.reset_buf = zeros.long()
        self.timeout_buf = zeros.bool()
        self.progress_buf = self._progress()

    def _obs_dict(self) -> dict[str, torch.Tensor]:
        return {"obs": self.obs_buf.to(self.rl_device)}

    def _progress(self) -> torch.Tensor:
        """Ticks (N,) since the episodes began."""
        return self._tensor(self.env.worlds.episode.step_count).long().clone()

    def _episode(self, info: Mapping[str, Any], done: torch.Tensor) -> dict[str, torch.Tensor]:
        names = {"success": "is_success", "success_strict": "is_success_strict", "goal_error_m": "goal_error_m"}
        return {name: self._float(info[key])[done].mean().to(self.rl_device) for name, key in names.items()}

    def _tensor(self, values: Any) -> torch.Tensor:
        return torch.as_tensor(values, device=self.device)

    def _float(self, values: Any) -> torch.Tensor:
        return torch.as_tensor(values, dtype=torch.float32, device=self.device)


def make(
    seed: int,
    task: str,
    num_envs: int,
    sim_device: str = "cpu",
    rl_device: str = "cpu",
    graphics_device_id: int = -1,
    headless: bool = True,
    cfg: Mapping[str, Any] | None = None,
    **options: Any,
) -> VecTask:
    """A VecTask of a task by its name or path, with the arguments of `isaacgymenvs.make`.

    `cfg`: a configuration with a section `task`; else the arguments of `iker_envs.TRAINING`. `num_envs` holds in both.
    """
    section = {**cfg["task"]} if cfg is not None else {"env": _training_keys()}
    section["env"] = {**section.get("env", {}), "task": task, "numEnvs": num_envs}
    return VecTask(section, rl_device, sim_device, graphics_device_id, headless, seed=seed, **options)


def _training_keys() -> dict[str, Any]:
    """`iker_envs.TRAINING` and episodes that are out of phase, by their keys of a task section."""
    keys = {argument: key for key, argument in ARGUMENTS.items()}
    return {keys[name]: value for name, value in {**TRAINING, "random_first_age": True}.items()}


def _make_env(cfg: Mapping[str, Any], sim_device: str, autoreset: bool) -> Any:
    env = cfg.get("env", {})
    known = ("numEnvs", *ARGUMENTS, *_FACTS)
    if unknown := [key for key in env if key not in known]:
        raise ValueError(f"env.{unknown[0]} is unknown; known: {', '.join(known)}")
    engine = _engine(cfg)
    if engine == CPU_ENGINE and torch.device(sim_device).type != "cpu":
        raise ValueError(f"the engine {CPU_ENGINE} runs on the CPU: sim_device is 'cpu', not {shown(sim_device)}")
    arguments = {argument: env[key] for key, argument in ARGUMENTS.items() if key in env}
    if engine != CPU_ENGINE:
        arguments |= {"sim": _on_device(engine, sim_device), "xp": "torch"}
    randomisation = cfg.get("task", {})
    arguments["randomisation"] = "off"
    if randomisation.get("randomize", True):
        arguments["randomisation"] = randomisation.get("randomization_params", "on")
    arguments["autoreset_mode"] = "same_step" if autoreset else "disabled"
    num_envs = check_whole("env.numEnvs", env.get("numEnvs"), 1)
    return gym.make_vec("IKER-Stage-v0", num_envs=num_envs, **arguments)


def _engine(cfg: Mapping[str, Any]) -> str:
    engine: str = cfg.get("physics_engine", CPU_ENGINE)
    return engine


def _on_device(engine: str, device: str) -> str:
    """The engine's name with the device where it shall compute, if it can choose and the name does not say."""
    own = base_name(engine)
    if "device" in engine_settings(engine) or "device" not in SETTINGS.get(own, ()):
        return engine
    settings = engine[len(own) + 1 :]
    return f"{own}:{settings}{',' if settings else ''}device={device}"


def _check_facts(cfg: Mapping[str, Any], task: VecTask) -> None:
    """ValueError for a number in the configuration that this environment does not have."""
    worlds = task.env.worlds
    facts = {
        "env.numObservations": task.num_observations,
        "env.numActions": task.num_actions,
        "env.controlFrequencyInv": task.control_freq_inv,
        "env.clipActions": task.clip_actions,
        "sim.dt": task.dt,
        "sim.substeps": worlds.substeps,
        "sim.up_axis": "z",
    }
    for name, fact in facts.items():
        section, _, key = name.partition(".")
        given = cfg.get(section, {}).get(key, fact)
        if given != fact:
            raise ValueError(f"{name} is {fact} in this environment, not {shown(given)}; leave it out, or mend it")
