# ruff: noqa: B905, RUF012 (Python 3.8 has no zip(strict=); defaults are read only)
"""The calls of gymapi that a worker makes, in the order and with the arguments that the library demands.

What it refuses is what goes wrong silently with the library: setters that overwrite each other within a frame, actor
indices of another domain, masses after `prepare_sim` on the GPU, worlds in each other's collision groups.
"""

import ctypes
import os
import time
from enum import IntEnum

import numpy as np

from .engine import Asset, World, compile_world

UP_AXIS_Z = 1
SIM_PHYSX = 1
DOMAIN_ENV = 1
DOMAIN_SIM = 2
DOF_MODE_POS = 1
MAX_MATERIALS = 65536
# Where a test wants trouble: "CALL:exit", "CALL:hang" or "CALL:raise", at the call of that name.
TROUBLE = os.environ.get("FAKE_ISAACGYM_TROUBLE", ":")


class ContactCollection(IntEnum):
    CC_NEVER = 0
    CC_LAST_SUBSTEP = 1
    CC_ALL_SUBSTEPS = 2


class Vec3:
    def __init__(self, x=0.0, y=0.0, z=0.0):
        self.x, self.y, self.z = x, y, z

    def values(self):
        return [self.x, self.y, self.z]


class Quat:
    def __init__(self, x=0.0, y=0.0, z=0.0, w=1.0):
        self.x, self.y, self.z, self.w = x, y, z, w

    def values(self):
        return [self.x, self.y, self.z, self.w]


class _Attributes:
    """Attributes with defaults, and no others."""

    DEFAULTS = {}

    def __init__(self):
        for name, value in self.DEFAULTS.items():
            object.__setattr__(self, name, value)

    def __setattr__(self, name, value):
        if name not in self.DEFAULTS:
            raise AttributeError(f"{type(self).__name__} has no {name!r}")
        object.__setattr__(self, name, value)


class Transform(_Attributes):
    DEFAULTS = {"p": Vec3(), "r": Quat()}


class PlaneParams(_Attributes):
    DEFAULTS = {"normal": Vec3(0, 1, 0), "distance": 0.0}
    DEFAULTS.update(static_friction=1.0, dynamic_friction=1.0, restitution=0.0)


class AssetOptions(_Attributes):
    DEFAULTS = {"fix_base_link": False, "disable_gravity": False, "collapse_fixed_joints": False, "thickness": 0.02}
    DEFAULTS.update(default_dof_drive_mode=0, linear_damping=0.0, angular_damping=0.5)


class _PhysX(_Attributes):
    DEFAULTS = {"use_gpu": False, "solver_type": 1, "num_position_iterations": 4, "num_velocity_iterations": 1}
    DEFAULTS.update(contact_offset=0.02, rest_offset=0.001, bounce_threshold_velocity=0.2, num_threads=4)
    DEFAULTS.update(max_depenetration_velocity=100.0, max_gpu_contact_pairs=2**20)
    DEFAULTS.update(contact_collection=ContactCollection.CC_ALL_SUBSTEPS)


class SimParams(_Attributes):
    DEFAULTS = {"dt": 1 / 60, "substeps": 2, "up_axis": 0, "gravity": Vec3(0, -9.8, 0), "use_gpu_pipeline": False}
    DEFAULTS["physx"] = None

    def __init__(self):
        super().__init__()
        self.physx = _PhysX()


class _Shape(_Attributes):
    DEFAULTS = {"friction": 1.0, "restitution": 0.0, "compliance": 0.0, "thickness": 0.0, "filter": 0}


class _Body(_Attributes):
    DEFAULTS = {"mass": 0.0, "com": None}


class Tensor:
    """Memory of the engine, or of a caller who has to keep it until the next `simulate`."""

    def __init__(self, memory=None):
        self.memory = memory

    @classmethod
    def at(cls, array):
        found = cls()
        found.address, found.shape, found.dtype = array.ctypes.data, array.shape, array.dtype
        return found

    def read(self):
        """What lies at the address now."""
        size = int(np.prod(self.shape)) * self.dtype.itemsize
        return np.frombuffer(ctypes.string_at(self.address, size), dtype=self.dtype).reshape(self.shape)


def _require(condition, sentence):
    if not condition:
        raise RuntimeError(sentence)


def acquire_gym():
    return Gym()


class _Env:
    def __init__(self, index, origin):
        self.index, self.origin = index, origin
        self.actors = []  # (name, Asset, collision filter)
        self.poses = []
        self.first = None  # counts of actors, bodies and DOFs in the worlds before this one


class Gym:
    """One simulation, on worlds that are stepped one after the other."""

    def __init__(self):
        self.sim = None

    def create_sim(self, compute_device, graphics_device, engine, params):
        _trouble("create_sim")
        _require(self.sim is None, "a process holds one simulation")
        _require(params.up_axis == UP_AXIS_Z and params.gravity.z < 0, "gravity is along the up axis")
        _require(params.use_gpu_pipeline == params.physx.use_gpu, "pipeline and PhysX are on one device")
        self.params = params
        self.gpu = params.use_gpu_pipeline
        self.sim = object()
        self.envs = []
        self.is_prepared = False
        self.is_fetched = True
        self.pending = {}
        self.materials = {}
        self.bodies = {}
        self.drives = {}
        self.plane_friction = None
        return self.sim

    def add_ground(self, sim, plane):
        _require(plane.normal.z == 1.0, "the ground's normal is the up axis")
        self.plane_friction = plane.static_friction

    def load_asset(self, sim, root, file, options):
        _trouble("load_asset")
        _require(options.angular_damping == 0.0, "the importer's angular damping is 0.5 unless it is set")
        return Asset(root, file, options)

    def get_asset_dof_names(self, asset):
        return list(asset.dof_names)

    def create_env(self, sim, low, high, num_per_row):
        _require(not self.is_prepared, "worlds are made before prepare_sim")
        index = len(self.envs)
        pitch = high.x - low.x
        self.envs.append(_Env(index, np.array([index % num_per_row, index // num_per_row, 0]) * pitch))
        return self.envs[-1]

    def get_env_origin(self, env):
        return Vec3(*(float(value) for value in env.origin))

    def create_actor(self, env, asset, pose, name, group, collision_filter):
        _require(not self.is_prepared, "actors are made before prepare_sim")
        _require(env is self.envs[-1], "actors of a world are made before the next world")
        _require(group == env.index, "worlds of one collision group meet each other")
        env.actors.append((name, asset, collision_filter))
        env.poses.append(np.concatenate([env.origin + pose.p.values(), pose.r.values(), np.zeros(6)]))
        return len(env.actors) - 1

    # -- indices ---------------------------------------------------------------------------------------------------

    def _before(self, env, count, local, own, domain):
        _require(domain in (DOMAIN_ENV, DOMAIN_SIM), "no such domain")
        others = sum(count(a) for e in self.envs[: env.index] for a in e.actors) if domain == DOMAIN_SIM else 0
        return others + sum(count(a) for a in env.actors[:local]) + own

    def get_actor_index(self, env, handle, domain):
        return self._before(env, lambda actor: 1, handle, 0, domain)

    def get_actor_dof_index(self, env, handle, k, domain):
        return self._before(env, lambda actor: len(actor[1].dof_names), handle, k, domain)

    def get_actor_rigid_body_index(self, env, handle, k, domain):
        return self._before(env, lambda actor: len(actor[1].links), handle, k, domain)

    def get_actor_rigid_body_count(self, env, handle):
        return len(env.actors[handle][1].links)

    # -- properties ------------------------------------------------------------------------------------------------

    def get_actor_dof_properties(self, env, handle):
        names = ("stiffness", "damping", "effort", "armature", "friction", "velocity", "lower", "upper")
        kinds = [(name, "f4") for name in names] + [("driveMode", "i4"), ("hasLimits", "?")]
        return np.zeros(len(env.actors[handle][1].dof_names), dtype=kinds)

    def set_actor_dof_properties(self, env, handle, properties):
        _require((properties["driveMode"] == DOF_MODE_POS).all(), "joints without a drive fall")
        self.drives[env.index, handle] = properties.copy()
        return True

    def get_actor_rigid_shape_properties(self, env, handle):
        return [_Shape() for _ in range(env.actors[handle][1].num_shapes)]

    def set_actor_rigid_shape_properties(self, env, handle, shapes):
        _require(len(shapes) == env.actors[handle][1].num_shapes, "one entry a shape")
        self.materials[env.index, handle] = (shapes[0].friction, shapes[0].restitution, shapes[0].compliance)
        _require(len(set(self.materials.values())) <= MAX_MATERIALS, "more than 64k materials")
        if self.is_prepared:
            self.worlds[env.index].set_material(handle, self.materials[env.index, handle])
        return True

    def get_actor_rigid_body_properties(self, env, handle):
        found = _Body()
        found.com = Vec3()
        return [found]

    def set_actor_rigid_body_properties(self, env, handle, bodies, recomputeInertia=False):
        _require(not (self.gpu and self.is_prepared), "on the GPU masses are set before prepare_sim")
        _require(recomputeInertia, "the inertia goes with the mass")
        self.bodies[env.index, handle] = bodies[0].mass, bodies[0].com.values()
        if self.is_prepared:
            self.worlds[env.index].set_body(handle, *self.bodies[env.index, handle])
        return True

    # -- run -------------------------------------------------------------------------------------------------------

    def prepare_sim(self, sim):
        _trouble("prepare_sim")
        _require(not self.is_prepared and self.plane_friction is not None, "prepare_sim comes once, after the ground")
        model = compile_world(self.params, self.envs[0].actors)
        self.worlds = [World(model, env.actors, self.plane_friction) for env in self.envs]
        for chosen, name in ((self.drives, "set_drive"), (self.bodies, "set_body"), (self.materials, "set_material")):
            for (world, handle), value in chosen.items():
                arguments = value if name == "set_body" else (value,)
                getattr(self.worlds[world], name)(handle, *arguments)
        self.actors = [(e.index, handle) for e in self.envs for handle in range(len(e.actors))]
        for (world, handle), pose in zip(self.actors, [pose for e in self.envs for pose in e.poses]):
            if not self.worlds[world].dofs[handle]:
                self.worlds[world].set_root(handle, pose, self.envs[world].origin)
        for world in self.worlds:
            world.show()
        self.dofs = [actor for actor in self.actors if self.worlds[actor[0]].dofs[actor[1]]]
        num_dofs = sum(len(self.worlds[w].dofs[h]) for w, h in self.dofs)
        num_bodies = sum(len(self.worlds[w].parts[h]) for w, h in self.actors)
        shapes = {"root": (len(self.actors), 13), "dof": (num_dofs, 2), "force": (num_bodies, 3)}
        self.tensors = {name: Tensor(np.zeros(shape, dtype=np.float32)) for name, shape in shapes.items()}
        self.is_prepared = True
        return True

    def _tensor(self, name):
        _require(self.is_prepared, "tensors are there after prepare_sim")
        return self.tensors[name]

    def acquire_actor_root_state_tensor(self, sim):
        return self._tensor("root")

    def acquire_dof_state_tensor(self, sim):
        return self._tensor("dof")

    def acquire_net_contact_force_tensor(self, sim):
        return self._tensor("force")

    def refresh_actor_root_state_tensor(self, sim):
        _require(self.is_fetched, "fetch_results comes before refreshing, on the CPU")
        rows = [self.worlds[w].root(h, self.envs[w].origin) for w, h in self.actors]
        self._tensor("root").memory[:] = rows

    def refresh_dof_state_tensor(self, sim):
        self._tensor("dof").memory[:] = np.concatenate([self.worlds[w].dof(h) for w, h in self.dofs])

    def refresh_net_contact_force_tensor(self, sim):
        self._tensor("force").memory[:] = np.concatenate([self.worlds[w].forces(h) for w, h in self.actors])

    def _stage(self, name, *tensors):
        _require(self.is_prepared, "setters come after prepare_sim")
        _require(name not in self.pending, f"{name} twice before simulate: the first one is lost")
        self.pending[name] = tensors
        return True

    def set_actor_root_state_tensor_indexed(self, sim, states, indices, count):
        self._check_indices(indices, count, len(self.actors))
        _require(states.shape == self.tensors["root"].memory.shape, "root states of all actors are given")
        return self._stage("root", states, indices)

    def set_dof_state_tensor_indexed(self, sim, states, indices, count):
        self._check_indices(indices, count, len(self.actors))
        given = [self.actors[k] for k in indices.read()]
        _require(all(actor in self.dofs for actor in given), "an index of an actor without joints")
        _require(states.shape == self.tensors["dof"].memory.shape, "joint states of all actors are given")
        return self._stage("dof", states, indices)

    def set_dof_position_target_tensor(self, sim, targets):
        _require(targets.shape == (len(self.tensors["dof"].memory),), "targets of all joints are given")
        return self._stage("target", targets)

    def _check_indices(self, indices, count, total):
        found = indices.read()
        _require(indices.dtype == np.int32 and found.shape == (count,) and count > 0, "indices are int32 (count,)")
        _require(len(set(found.tolist())) == count and found.min() >= 0 and found.max() < total, "no such actors")

    def _joint_rows(self, table):
        """(world, handle, rows) of every actor with joints."""
        start = 0
        for world, handle in self.dofs:
            count = len(self.worlds[world].dofs[handle])
            yield world, handle, table[start : start + count]
            start += count

    def simulate(self, sim):
        _trouble("simulate")
        _require(self.is_prepared, "prepare_sim comes before simulate")
        pending, self.pending = self.pending, {}
        if "root" in pending:
            states, indices = (tensor.read() for tensor in pending["root"])
            for k in indices:
                world, handle = self.actors[k]
                self.worlds[world].set_root(handle, states[k].astype(float), self.envs[world].origin)
        if "dof" in pending:
            states, indices = (tensor.read() for tensor in pending["dof"])
            chosen = {self.actors[k] for k in indices}
            for world, handle, rows in self._joint_rows(states):
                if (world, handle) in chosen:
                    self.worlds[world].set_dof(handle, rows)
        if "target" in pending:
            for world, handle, rows in self._joint_rows(pending["target"][0].read()):
                self.worlds[world].set_target(handle, rows)
        for world in self.worlds:
            world.simulate(self.params.substeps)
        self.is_fetched = self.gpu

    def fetch_results(self, sim, wait):
        self.is_fetched = True


def _trouble(call):
    name, _, kind = TROUBLE.partition(":")
    if call != name:
        return
    if kind == "exit":
        print("a fault of the driver", flush=True)
        os._exit(3)
    if kind == "hang":
        time.sleep(3600)
    raise RuntimeError("a fault of the simulation")
