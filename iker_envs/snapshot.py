"""Environments that can be saved, restored, copied and pickled: the arguments they were made with, and their state."""

from __future__ import annotations

import copy
from typing import Any, ClassVar

from iker_envs.stage import StageWorlds


class Snapshot:
    """Mixin of both forms of the environment.

    `_KEPT` names the attributes that change after construction, beside the stage; `_arguments` are those of
    `__init__`.
    """

    _KEPT: ClassVar[tuple[str, ...]] = ()
    _arguments: dict[str, Any]
    stage: StageWorlds

    def get_state(self) -> dict[str, Any]:
        """Everything that the future depends on, random generators included; can be pickled."""
        kept = {name: getattr(self, name) for name in self._KEPT}
        return {"stage": self.stage.get_state(), "kept": copy.deepcopy(kept)}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from where `get_state` was called, to the last bit.

        The environment must have been made with the same arguments; ValueError if that cannot be.
        """
        self.stage.set_state(state["stage"])
        for name, value in copy.deepcopy(state["kept"]).items():
            setattr(self, name, value)

    def __getstate__(self) -> dict[str, Any]:
        return {"arguments": self._arguments, "spec": self.spec, "state": self.get_state()}

    def __setstate__(self, saved: dict[str, Any]) -> None:
        self.__init__(**saved["arguments"])
        self.spec = saved["spec"]
        self.set_state(saved["state"])
