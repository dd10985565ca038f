"""Model fields with a row per world for MuJoCo Warp: kept on the host in double precision, copied to the device.

    WorldModels writes rows  ->  WarpFields.set_const (C MuJoCo)  ->  WarpFields.upload  ->  rows of mujoco_warp.Model

The constants that follow from mass and shape are computed by C MuJoCo, world by world, as the other engine does.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import mujoco
import mujoco_warp
import numpy as np
import torch
import warp

_DERIVED = ("body_subtreemass", "body_invweight0", "dof_invweight0", "actuator_acc0")  # what mj_setConst computes
KNOWN = tuple(f.name for f in dataclasses.fields(mujoco_warp.Model) if getattr(f.type, "shape", ("",))[0] == "*")
"""The fields that can have a row per world."""


class WarpFields:
    """Rows (N, ...) of the model fields that were expanded; see `mujoco_parameters.Fields`."""

    def __init__(self, model: mujoco.MjModel, num_worlds: int) -> None:
        self.nsim = num_worlds
        self._model = model
        self._data = mujoco.MjData(model)
        self._rows: dict[str, np.ndarray] = {}
        self._on_device: dict[str, torch.Tensor] = {}
        self._derived = {name: self.expand(name) for name in _DERIVED}

    def expand(self, name: str) -> np.ndarray:
        """The rows (N, ...) of a field, which may be written."""
        if name not in self._rows:
            values = np.array(getattr(self._model, name))
            self._rows[name] = np.repeat(values[None], self.nsim, axis=0)
        return self._rows[name]

    def set_const(self, worlds: np.ndarray) -> None:
        """Compute what follows from the rows of the worlds (M,)."""
        followed = [name for name in self._rows if not name.startswith("geom_") and name not in _DERIVED]
        for world in worlds:
            for name in followed:
                getattr(self._model, name)[:] = self._rows[name][world]
            mujoco.mj_setConst(self._model, self._data)
            for name, rows in self._derived.items():
                rows[world] = getattr(self._model, name)

    def put(self, device: str) -> Any:
        """A `mujoco_warp.Model` on a device, whose expanded fields have N rows each."""
        sizes = dict.fromkeys(self._rows, self.nsim)
        with warp.ScopedDevice(device):
            model = mujoco_warp.put_model(self._model, batch_sizes=sizes)
        self._on_device = {name: warp.to_torch(getattr(model, name)) for name in sizes}
        return model

    def upload(self, worlds: np.ndarray) -> None:
        """Copy the rows of the worlds (M,) to the device."""
        for name, there in self._on_device.items():
            rows = torch.from_numpy(self._rows[name][worlds]).to(there.device, there.dtype)
            there[torch.from_numpy(worlds).to(there.device)] = rows.reshape(len(worlds), *there.shape[1:])
