"""Environments that can be saved, restored, copied, pickled and closed: what both forms have in common.

get_state  ->  a dictionary that can be pickled  ->  check_state  ->  set_state
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils import EzPickle
from gymnasium.vector import AutoresetMode

from iker_envs.contract import to_plain
from iker_envs.stage.stage import Stage


class Snapshot(EzPickle):
    """Mixin of both forms of the environment; `EzPickle.__init__` is given the arguments that it was made with.

    `_KEPT` names the attributes that change after construction, beside the worlds.
    """

    _KEPT: ClassVar[tuple[str, ...]] = ()
    action_space: spaces.Space  # gymnasium's
    _worlds: Stage | None = None  # None before they are made and once the environment is closed
    _spec: EnvSpec | None = None

    @property
    def worlds(self) -> Stage:
        """The simulated worlds; ValueError if the environment is closed."""
        if self._worlds is None:
            raise ValueError("the environment is closed; make another one")
        return self._worlds

    @property
    def spec(self) -> EnvSpec | None:
        """What gymnasium made the environment from, and `max_episode_steps`, the time limit in ticks.

        Arguments are such as JSON can hold (contracts as their `to_dict()`), so that `spec.to_json()` works.
        """
        return self._spec

    @spec.setter
    def spec(self, spec: EnvSpec | None) -> None:
        kept = copy.copy(spec)
        if kept is not None:
            kept.kwargs = _as_data(self._spec_arguments(kept.kwargs))
            kept.max_episode_steps = self.worlds.config.max_steps
        self._spec = kept

    def _spec_arguments(self, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """What the spec keeps of the arguments that the environment was made with."""
        return dict(kwargs)

    def get_state(self) -> dict[str, Any]:
        """Everything that the future depends on, random generators included; can be pickled."""
        stage = self.worlds.get_state()
        kept = {name: getattr(self, name) for name in self._KEPT}
        return {"stage": stage, "kept": copy.deepcopy(kept)}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from where `get_state` was called, to the last bit.

        The environment must have been made with the same arguments; ValueError, and nothing changes, if that cannot be.
        """
        kept = state.get("kept") if isinstance(state, Mapping) else None
        if not isinstance(kept, Mapping) or set(kept) != set(self._KEPT) or "stage" not in state:
            raise ValueError(f"a state is what get_state() of this form of environment gave, not {short(state)}")
        _check_state(state["stage"], self.worlds)
        before = self.get_state()
        try:
            self._assign(state)
        except Exception as error:  # whatever is wrong with a damaged state, nothing of it may stay
            self._assign(before)
            raise ValueError(f"the state is damaged: {short(error)}; take another one") from error

    def _assign(self, state: dict[str, Any]) -> None:
        self.worlds.set_state(state["stage"])
        for name, value in copy.deepcopy(dict(state["kept"])).items():
            setattr(self, name, value)

    def _check_action(self, action: Any, what: str) -> np.ndarray:
        """The action(s) as float64; ValueError unless they have the space's shape and all numbers are finite."""
        try:
            array = np.asarray(action)
        except ValueError:  # rows of different lengths
            array = np.array(None)
        if array.dtype.kind not in "iuf":
            raise ValueError(f"{what} finite numbers in [-1, 1], not {short(action)}")
        if array.shape != self.action_space.shape:
            raise ValueError(f"{what} finite numbers in [-1, 1], not {array.shape}")
        if not np.all(np.isfinite(array)):
            raise ValueError(f"{what} finite numbers in [-1, 1], not nan or infinite ones")
        return array.astype(np.float64)

    def _close_worlds(self) -> None:
        """Free the simulation; closing twice is no fault."""
        if self._worlds is not None:
            self._worlds.close()
            self._worlds = None

    def __getstate__(self) -> dict[str, Any]:
        return {**EzPickle.__getstate__(self), "spec": self.spec, "state": self.get_state()}

    def __setstate__(self, saved: dict[str, Any]) -> None:
        EzPickle.__setstate__(self, saved)
        self.spec = saved["spec"]
        self.set_state(saved["state"])


def _check_state(state: Any, worlds: Stage) -> None:
    """ValueError unless a state is one of as many worlds of the same making."""
    if not isinstance(state, Mapping) or "fingerprint" not in state:
        raise ValueError(f"a state is what get_state() gave, not {type(state).__name__}")
    if state["fingerprint"] != worlds.fingerprint:
        raise ValueError(
            "the state is one of another task, scene or goal, of other arguments (randomisation, observation, "
            "episode_s, free, rewards, banks) or of another version; make the environment that it came from"
        )
    num_worlds = len(state["episode"].goals)
    if num_worlds != worlds.num_worlds:
        raise ValueError(f"the state is one of {num_worlds} worlds, these are {worlds.num_worlds}")


def _as_data(value: Any) -> Any:
    """An argument as JSON can hold it, and as the environment takes it too."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, AutoresetMode):
        return value.name.lower()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return {str(key): _as_data(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [_as_data(item) for item in value]
    return to_plain(value)


def short(value: Any) -> str:
    """A value as text of one line, at most 80 characters."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else f"{text[:77]}..."
