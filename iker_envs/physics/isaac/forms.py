"""What a worker builds: assets on disk, and the request that describes them.

    variants  ->  Forms(variants, free, folder)  ->  request (JSON), nominal numbers of every variant's objects

A form is one shape that a thing has in some variant: all variants' different left shoes are forms of the left shoe.
Every world holds an actor of each; the ones that are not in their place are parked beside the table, which is how
objects are exchanged between episodes although Isaac Gym cannot add any.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from iker_envs.physics.isaac.urdf import lowest_m, mass_properties, write_asset
from iker_envs.physics.mujoco_gripper import FINGERS, JOINTS
from iker_envs.physics.mujoco_model import build_model, build_variants
from iker_envs.sim import Variant

# PhysX takes the mean of two touching shapes' friction (PxCombineMode::eAVERAGE). Everything but the objects has this
# one, so that an object's own number alone decides how it slides on anything else.
STATIC_FRICTION = 0.3
NOMINAL_CONTACT_S = 0.02  # time constant of MuJoCo's contacts, which a compliance is measured against
_PARKED_M = np.array([-3.0, -3.0])
_PARKING_PITCH_M = 0.8


def shape_friction(friction: np.ndarray) -> np.ndarray:
    """What a shape must have for its mean with STATIC_FRICTION to be `friction`; at least 0, in steps of 0.01.

    Steps, because a simulation holds 64k different materials at most.
    """
    return np.round(np.maximum(2 * friction - STATIC_FRICTION, 0.0), 2)


def shape_restitution(damping_ratio: np.ndarray) -> np.ndarray:
    """Twice the share of its speed that a damped spring gives back, exp(-pi z / sqrt(1 - z^2)) below z = 1.

    Twice, for the mean with what does not bounce; in steps of 0.02, at most 1.
    """
    z = np.minimum(damping_ratio, 1 - 1e-9)
    return np.minimum(1.0, 2 * np.round(np.exp(-np.pi * z / np.sqrt(1 - z**2)), 2))


def shape_compliance(time_factor: np.ndarray, mass_kg: np.ndarray) -> np.ndarray:
    """Metres per newton by which a contact is softer than nominal: (t^2 - t0^2) / m for time constants t."""
    return NOMINAL_CONTACT_S**2 * (time_factor**2 - 1) / mass_kg


class Forms:
    """Assets of the variants in a folder, and where a worker finds them.

    `friction`, `mass_kg` (V, O), `centre_m` (V, O, 3) are nominal numbers; `things` are the O movable objects, then the
    furniture; `form_of` (V, T) says which form a variant's thing has; `joints` names the gripper's.
    """

    def __init__(self, variants: Sequence[Variant], free: Collection[str] | None, folder: Path) -> None:
        scene = variants[0].scene
        self.objects = scene.movable
        self.furniture = tuple(o.name for o in scene.objects if not o.movable)
        self.free = tuple(name for name in self.objects if free is None or name in free)
        self.joints = (*JOINTS, *FINGERS)
        self._folder = folder
        models = [build_variants([variant])[0] for variant in variants]
        self._things: list[dict[str, Any]] = []
        columns = [self._add_thing(name, variants, models) for name in (*self.objects, *self.furniture)]
        self.form_of = np.array(columns, dtype=int).reshape(-1, len(variants)).T
        of_objects = [[v.scene.object(name).model for name in self.objects] for v in variants]
        self.friction = np.array([[m.friction for m in row] for row in of_objects]).reshape(len(variants), -1)
        properties = [[mass_properties(model, name) for name in self.objects] for model in models]
        shape = (len(variants), len(self.objects))
        self.mass_kg = np.array([[mass for mass, _ in row] for row in properties]).reshape(shape)
        self.centre_m = np.array([[centre for _, centre in row] for row in properties]).reshape(*shape, 3)
        self.substep_s = float(models[0].opt.timestep)
        self.gravity_m_s2 = models[0].opt.gravity.tolist()

    def _add_thing(self, name: str, variants: Sequence[Variant], models: Sequence[mujoco.MjModel]) -> list[int]:
        """Write the forms of a thing; gives the form of each variant."""
        known: dict[str, int] = {}
        forms: list[dict[str, Any]] = []
        column = []
        for variant, model in zip(variants, models, strict=True):
            key = json.dumps([variant.scene.object(name).model.to_dict(), variant.scale_of(name)], sort_keys=True)
            if key not in known:
                known[key] = len(forms)
                forms.append(self._form(name, len(forms), variant, model))
            column.append(known[key])
        self._things.append({"name": name, "fixed": name not in self.free, "forms": forms})
        return column

    def _form(self, name: str, number: int, variant: Variant, model: mujoco.MjModel) -> dict[str, Any]:
        mass_kg, centre_m = mass_properties(model, name)
        friction = STATIC_FRICTION
        if name in self.objects:
            friction = float(shape_friction(np.array(variant.scene.object(name).model.friction)))
        x, y = _PARKED_M + _PARKING_PITCH_M * np.array([-number, -len(self._things)])
        return {
            "file": write_asset(model, name, self._folder, f"{name}_{number}"),
            "mass_kg": mass_kg,
            "centre_m": centre_m,
            "material": [friction, 0.0, 0.0],
            "parked": [float(x), float(y), lowest_m(model, name), 1.0, 0.0, 0.0, 0.0],
        }

    def request(self, variants: Sequence[Variant]) -> dict[str, Any]:
        """The worker's request "build" but for numbers of worlds, time and devices; writes the gripper's asset."""
        model = build_model(variants[0].scene)
        actuators = [model.actuator(name) for name in self.joints]
        dofs = [model.joint(name).dofadr[0] for name in self.joints]
        properties = {
            "stiffness": [float(a.gainprm[0]) for a in actuators],
            "damping": model.dof_damping[dofs].tolist(),
            "effort": [float(a.forcerange[1]) for a in actuators],
            "armature": model.dof_armature[dofs].tolist(),
        }
        gripper = {
            "file": write_asset(model, f"gripper_{JOINTS[0]}", self._folder, "gripper"),
            "joints": list(self.joints),
            "properties": properties,
        }
        return {
            "folder": str(self._folder),
            "gripper": gripper,
            "things": self._things,
            "form_of": self.form_of.tolist(),
            "static_friction": STATIC_FRICTION,
            "substep_s": self.substep_s,
            "gravity_m_s2": self.gravity_m_s2,
        }
