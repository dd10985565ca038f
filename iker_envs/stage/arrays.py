"""Where the arrays of a stage's ticks live: numpy on the host, or torch tensors on the engine's device.

host rows of a reset  ->  Arrays.put  ->  arrays of the ticks  ->  Arrays.host  ->  numpy, where somebody looks
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from iker_envs.geometry import Array
from iker_envs.sim import Ticks, WorldState


class Arrays:
    """The array library of ticks; on the host `put` and `host` return what they are given."""

    def __init__(self, ticks: Ticks) -> None:
        self.xp = ticks.xp
        self._device = ticks.device
        self.on_host = not hasattr(ticks.xp, "from_numpy")  # numpy itself

    def put(self, values: Any) -> Array:
        """An array of the ticks from a numpy one; floats in the precision of the device."""
        if self.on_host or not isinstance(values, np.ndarray):
            return values
        single = values.astype(np.float32) if values.dtype == np.float64 else values
        return self.xp.asarray(single, device=self._device)

    def put_state(self, state: WorldState) -> WorldState:
        """As `put`, all parts of a state."""
        return WorldState(**{name: self.put(values) for name, values in vars(state).items()})

    def graphed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A pure function of arrays, on a GPU as one graph of its kernels; see `physics.torch_graph`."""
        if not self._device.startswith("cuda"):
            return function
        from iker_envs.physics.torch_graph import TorchGraph

        return TorchGraph(function)

    def host(self, values: Array) -> np.ndarray:
        """A numpy array in double precision; waits for the device."""
        if isinstance(values, np.ndarray):
            return values
        array = values.cpu().numpy()
        return array.astype(np.float64) if array.dtype == np.float32 else array


def copied(values: Any) -> Any:
    """An array or a list of its own; arrays keep their order in memory."""
    if isinstance(values, np.ndarray):
        return values.copy(order="K")
    return values.clone() if hasattr(values, "clone") else values.copy()
