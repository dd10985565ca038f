"""Environments that can be saved, restored, copied and pickled: the arguments they were made with, and their state."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from gymnasium.envs.registration import EnvSpec

from iker_envs.contract import to_plain
from iker_envs.stage.saved import check_parts, check_state, short
from iker_envs.stage.worlds import StageWorlds
from iker_envs.task import Task


class ClosedWorlds:
    """What stands in the place of the worlds of an environment that was closed: any use says so."""

    def __getattr__(self, name: str) -> Any:
        raise ValueError("the environment is closed; make another one")

    def close(self) -> None:
        """Closing twice is no fault."""


class Snapshot:
    """Mixin of both forms of the environment.

    `_KEPT` names the attributes that change after construction, beside the stage; `_arguments` are those of
    `__init__`.
    """

    _KEPT: ClassVar[tuple[str, ...]] = ()
    _arguments: dict[str, Any]
    stage: StageWorlds
    _spec: EnvSpec | None = None

    @property
    def spec(self) -> EnvSpec | None:
        """What gymnasium made the environment from, contracts as their `to_dict()` so that `spec.to_json()` works."""
        return self._spec

    @spec.setter
    def spec(self, spec: EnvSpec | None) -> None:
        self._spec = copy.copy(spec)
        if spec is not None:
            self._spec.kwargs = {name: _as_data(value) for name, value in spec.kwargs.items()}

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
        check_state(state["stage"], self.worlds.get_state())
        check_parts(kept, {name: getattr(self, name) for name in self._KEPT}, "the state's kept")
        self.worlds.set_state(state["stage"])
        for name, value in copy.deepcopy(dict(kept)).items():
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
        self.worlds.close()
        self.worlds = ClosedWorlds()

    def __getstate__(self) -> dict[str, Any]:
        return {"arguments": self._arguments, "spec": self.spec, "state": self.get_state()}

    def __setstate__(self, saved: dict[str, Any]) -> None:
        self.__init__(**saved["arguments"])
        self.spec = saved["spec"]
        self.set_state(saved["state"])


def _as_data(value: Any) -> Any:
    """An argument that JSON can hold where there is one; a Task has no other form than itself."""
    if isinstance(value, Path):
        return str(value)
    return value if isinstance(value, Task) else to_plain(value)
