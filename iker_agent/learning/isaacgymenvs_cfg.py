"""Our settings as configuration files in the style of IsaacGymEnvs: what rl_games and `VecTask` are started with.

    TrainSettings           ->  write_cfg  ->  DIR/config.yaml, DIR/task/ShoePush.yaml, DIR/train/ShoePushPPO.yaml
    DIR, num_envs=64, ...   ->  load_cfg   ->  {"task": ..., "train": {"params": ...}, "seed": ..., ...}, plain values

The layout and the names are that library's (its cfg/ folder) and rl_games' (its a2c_continuous); the numbers are ours.
What rl_games cannot do is left out: it keeps no limits of the learning rate and does not stop at a rate of success.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from iker_agent.atomic import replace_file
from iker_agent.learning.network import HIDDEN, START_LOG_STD
from iker_agent.learning.ppo_config import PPOConfig
from iker_agent.learning.shipped import FAMILIES
from iker_agent.learning.training_folder import TrainSettings
from iker_agent.learning.training_worlds import make_worlds
from iker_envs import TRAINING
from iker_envs.documents import read_document
from iker_envs.physics.engines import engine_settings
from iker_envs.randomisation import as_randomisation
from iker_envs.vec_task import ARGUMENTS, CPU_ENGINE

_ROOT = "config.yaml"
# What that library's files may use between ${ and }; `if` and `eq` by their meaning there.
_RESOLVERS: dict[str, Callable[..., Any]] = {
    "eq": lambda a, b: str(a).lower() == str(b).lower(),
    "contains": lambda part, whole: str(part).lower() in str(whole).lower(),
    "if": lambda condition, a, b: a if condition else b,
    "resolve_default": lambda default, given: default if given == "" else given,
}


class _Dumper(yaml.SafeDumper):
    """Mappings as blocks and lists in one line, as that library's files have them."""


_Dumper.add_representer(
    list, lambda dumper, value: dumper.represent_sequence("tag:yaml.org,2002:seq", value, flow_style=True)
)


def cfg_name(settings: TrainSettings) -> str:
    """ShoePush for shoe_push: the name of the task's file; ValueError for a family, which has no file."""
    if settings.task in FAMILIES:
        raise ValueError(f"{settings.task!r} is a family of stages; a configuration is of one task")
    return "".join(part.capitalize() for part in settings.name.split("_"))


def task_section(settings: TrainSettings) -> dict[str, Any]:
    """The task file's content: `env`, `sim`, `task`; what `VecTask` takes once it is resolved."""
    env = make_worlds(1, task=settings.task, observation=settings.observation, randomisation="off")
    try:
        spec = env.worlds.config.spec
        facts = {"numObservations": spec.observation_dim, "numActions": spec.action_dim}
        episode_ticks = env.worlds.config.max_steps
        sim = {"dt": 1.0 / spec.control_hz, "substeps": env.worlds.substeps}
    finally:
        env.close()
    keys = {argument: key for key, argument in ARGUMENTS.items()}
    ranges = as_randomisation(settings.randomisation).ranges
    return {
        "name": cfg_name(settings),
        "physics_engine": "${..physics_engine}",
        "env": {
            "numEnvs": f"${{resolve_default:{settings.learn.num_envs},${{...num_envs}}}}",
            **facts,
            "episodeLength": episode_ticks,
            "controlFrequencyInv": 1,
            "clipActions": 1.0,
            "task": settings.task,
            "stageIndex": 0,
            "observation": settings.observation,
            **{keys[name]: value for name, value in TRAINING.items()},
            "randomFirstAge": True,
            "numThreads": "${...num_threads}",
        },
        "sim": {**sim, "up_axis": "z", "use_gpu_pipeline": '${eq:${...pipeline},"gpu"}'},
        "task": {
            "randomize": bool(ranges),
            "randomization_params": {name: [float(x) for x in limits] for name, limits in ranges.items()},
        },
    }


def train_section(settings: TrainSettings) -> dict[str, Any]:
    """The train file's content in rl_games' layout; ValueError if a rollout has no whole number of mini-batches."""
    learn = settings.learn
    batch = learn.num_envs * learn.horizon
    if batch % learn.mini_batches:
        raise ValueError(
            f"rl_games needs mini-batches of equal size: learn.num_envs * learn.horizon = {batch} is no multiple of "
            f"learn.mini_batches = {learn.mini_batches}"
        )
    name = cfg_name(settings)
    return {
        "params": {
            "seed": "${...seed}",
            "algo": {"name": "a2c_continuous"},
            "model": {"name": "continuous_a2c_logstd"},
            "network": _network(),
            "load_checkpoint": "${if:${...checkpoint},True,False}",
            "load_path": "${...checkpoint}",
            "config": {
                "name": f"${{resolve_default:{name},${{....experiment}}}}",
                "full_experiment_name": "${.name}",
                "env_name": "rlgpu",
                "device": "${....rl_device}",
                "device_name": "${....rl_device}",
                "multi_gpu": "${....multi_gpu}",
                "num_actors": "${....task.env.numEnvs}",
                **_algorithm(learn, batch),
            },
        }
    }


def _network() -> dict[str, Any]:
    return {
        "name": "actor_critic",
        "separate": False,
        "space": {
            "continuous": {
                "mu_activation": "None",
                "sigma_activation": "None",
                "mu_init": {"name": "default"},
                "sigma_init": {"name": "const_initializer", "val": START_LOG_STD},
                "fixed_sigma": True,
            }
        },
        "mlp": {
            "units": list(HIDDEN),
            "activation": "elu",
            "d2rl": False,
            "initializer": {"name": "default"},
            "regularizer": {"name": "None"},
        },
    }


def _algorithm(learn: PPOConfig, batch: int) -> dict[str, Any]:
    """PPO's numbers; rl_games halves the loss of the value (`0.5 * c_loss * critic_coef`), ours does not."""
    epochs = -(-learn.max_steps // batch)
    return {
        "ppo": True,
        "mixed_precision": False,
        "normalize_input": True,
        "normalize_value": True,
        "normalize_advantage": True,
        "value_bootstrap": True,
        "reward_shaper": {"scale_value": 1.0},
        "gamma": learn.discount,
        "tau": learn.gae_lambda,
        "learning_rate": learn.learning_rate,
        "lr_schedule": "adaptive",
        "kl_threshold": learn.kl_target,
        "score_to_win": 1_000_000,  # rl_games asks for one; never reached
        "max_epochs": f"${{resolve_default:{epochs},${{....max_iterations}}}}",
        "save_best_after": 100,
        "save_frequency": 100,
        "print_stats": True,
        "grad_norm": learn.max_grad_norm,
        "truncate_grads": True,
        "entropy_coef": learn.entropy,
        "e_clip": learn.ratio_clip,
        "clip_value": False,
        "critic_coef": 2.0 * learn.value_loss,
        "bounds_loss_coef": 0.0,
        "horizon_length": learn.horizon,
        "minibatch_size": batch // learn.mini_batches,
        "mini_epochs": learn.epochs,
    }


def root_section(settings: TrainSettings) -> dict[str, Any]:
    """config.yaml's content: what that library's users give on the command line."""
    engine = settings.learn.sim
    device = engine_settings(engine).get("device", "cpu" if engine == CPU_ENGINE else "cuda:0")
    return {
        "task_name": "${task.name}",
        "experiment": "",
        "num_envs": "",
        "seed": settings.seed,
        "max_iterations": "",
        "physics_engine": engine,
        "pipeline": "cpu" if device == "cpu" else "gpu",
        "sim_device": device,
        "rl_device": device,
        "num_threads": settings.learn.num_threads,
        "test": False,
        "checkpoint": "",
        "multi_gpu": False,
        "headless": True,
        "defaults": [{"task": cfg_name(settings)}, {"train": "${task}PPO"}, "_self_"],
    }


def write_cfg(folder: Path, settings: TrainSettings) -> list[Path]:
    """Write the three files, each all or nothing; their paths."""
    name = cfg_name(settings)
    contents = {
        folder / "task" / f"{name}.yaml": task_section(settings),
        folder / "train" / f"{name}PPO.yaml": train_section(settings),
        folder / _ROOT: root_section(settings),
    }
    for path, content in contents.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        text = yaml.dump(content, Dumper=_Dumper, sort_keys=False)
        replace_file(path, partial(Path.write_text, data=text, encoding="utf-8"))
    return list(contents)


def load_cfg(folder: Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """The files as one configuration of plain values, as Hydra would put them together; ValueError for a bad override.

    `overrides` are as on that library's command line: num_envs=64, seed=3, train.params.config.gamma=0.99.
    """
    for name, resolver in _RESOLVERS.items():
        if not OmegaConf.has_resolver(name):
            OmegaConf.register_resolver(name, resolver)
    root = dict(cast(Mapping[str, Any], read_document(folder / _ROOT)))
    task = root.pop("defaults")[0]["task"]
    parts = {"task": f"task/{task}.yaml", "train": f"train/{task}PPO.yaml"}
    merged = OmegaConf.create({**root, **{part: read_document(folder / path) for part, path in parts.items()}})
    OmegaConf.set_struct(merged, True)
    try:
        merged.merge_with_dotlist(list(overrides))
        return cast(dict[str, Any], OmegaConf.to_container(merged, resolve=True))
    except OmegaConfBaseException as error:
        raise ValueError(f"{str(folder)!r} cannot be read: {str(error).splitlines()[0]}") from None
