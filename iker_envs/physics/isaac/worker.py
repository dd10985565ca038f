# ruff: noqa: B905 (Python 3.8 has no zip(strict=))
"""The program that runs Isaac Gym: Python 3.8, isaacgym, numpy and the wire beside it, nothing else of ours.

    python worker.py SOCKET MEMORY LAYOUT        file descriptors that the client left open, JSON of `wire.layout`

It answers "build", "prepare", "step" in this order, "step" again and again, until the socket closes. Quaternions are
(x, y, z, w) and positions are global in here alone; what goes over the wire is (w, x, y, z) in each world's own frame.
Setters of Isaac Gym take effect at the next `simulate` and the last call before it wins, so rows are collected and
every setter is called at most once between two calls of `simulate`; what it was given stays referenced until then.
"""

from __future__ import annotations

import json
import math
import os
import signal
import sys
import traceback
from multiprocessing.connection import Connection

import numpy as np
import wire  # type: ignore[import-not-found]  # lies beside this file

XYZW = [1, 2, 3, 0]  # of (w, x, y, z)
WXYZ = [3, 0, 1, 2]  # of (x, y, z, w)
GRIPPER_FILTER = 1  # parts of an actor with this bit in common do not collide: the gripper with itself


class Refused(Exception):
    """A request out of its order."""


def import_isaacgym():
    """gymapi, gymtorch and the torch that it brings; isaacgym has to be imported before torch."""
    try:
        from isaacgym import gymapi, gymtorch  # type: ignore[import-not-found]
    except ImportError as error:
        raise ModuleNotFoundError(
            f"{sys.executable} cannot import isaacgym ({error}): install Isaac Gym Preview 4 there, or set "
            "ISAACGYM_PYTHON to another interpreter; `iker doctor --sim isaac` says more"
        ) from None
    return gymapi, gymtorch, gymtorch.torch


class Simulation:
    """N worlds: a gripper, and an actor for every form of every thing; of these one stands in its place.

    T things: the objects, then the furniture. The other forms of a thing are parked beside the table. `actor[t]` (N, F)
    are indices of actors in the whole simulation, `handle[t]` (N, F) the same within a world.
    """

    def __init__(self, arrays):
        self.arrays = arrays
        self.sim = None
        self.is_prepared = False
        self.to_park = []  # (world, thing, form) whose places others have taken

    # -- build ---------------------------------------------------------------------------------------------------------

    def build(self, request):
        """Make ground, assets, worlds and actors."""
        if self.sim is not None:
            raise Refused("a worker builds one simulation; start another worker")
        self.api, self.gymtorch, self.torch = import_isaacgym()
        self.gym = self.api.acquire_gym()
        self.request = request
        self.on_gpu = request["device"] != "cpu"
        self.sim = self._create_sim()
        self._add_ground()
        self.form_of = np.array(request["form_of"], dtype=int)  # (V, T)
        self.variant = self.arrays["variant"].copy()
        self._load_assets()
        self._create_worlds()
        return {"python": sys.version.split()[0]}

    def _create_sim(self):
        request = self.request
        params = self.api.SimParams()
        params.dt = request["substep_s"]
        params.substeps = request["substeps"]
        params.up_axis = self.api.UP_AXIS_Z
        params.gravity = self.api.Vec3(*request["gravity_m_s2"])
        params.use_gpu_pipeline = self.on_gpu
        params.physx.use_gpu = self.on_gpu
        for name, value in request["physx"].items():
            setattr(params.physx, name, value)
        params.physx.contact_collection = self.api.ContactCollection.CC_LAST_SUBSTEP
        params.physx.num_threads = request["num_threads"]
        device = int(request["device"].split(":")[1]) if self.on_gpu else 0
        sim = self.gym.create_sim(device, -1, self.api.SIM_PHYSX, params)
        if sim is None:
            raise RuntimeError("Isaac Gym could not create a simulation on {!r}".format(request["device"]))
        return sim

    def _add_ground(self):
        plane = self.api.PlaneParams()
        plane.normal = self.api.Vec3(0.0, 0.0, 1.0)
        plane.static_friction = plane.dynamic_friction = self.request["static_friction"]
        plane.restitution = 0.0
        self.gym.add_ground(self.sim, plane)

    def _load(self, file, **options):
        found = self.api.AssetOptions()
        for name, value in options.items():
            setattr(found, name, value)
        asset = self.gym.load_asset(self.sim, self.request["folder"], file, found)
        if asset is None:
            raise RuntimeError(f"Isaac Gym could not load {file}")
        return asset

    def _load_assets(self):
        things = self.request["things"]
        exact = {"thickness": 0.0, "collapse_fixed_joints": False, "linear_damping": 0.0, "angular_damping": 0.0}
        self.gripper_asset = self._load(
            self.request["gripper"]["file"],
            fix_base_link=True,
            disable_gravity=True,
            default_dof_drive_mode=self.api.DOF_MODE_POS,
            **exact,
        )
        self.assets = [
            [self._load(form["file"], fix_base_link=thing["fixed"], **exact) for form in thing["forms"]]
            for thing in things
        ]
        # The order of joints is Isaac Gym's own.
        names = list(self.gym.get_asset_dof_names(self.gripper_asset))
        self.joint_order = [names.index(name) for name in self.request["gripper"]["joints"]]

    def _create_worlds(self):
        count = self.request["num_worlds"]
        spacing = self.request["spacing_m"] / 2
        low = self.api.Vec3(-spacing, -spacing, 0.0)
        high = self.api.Vec3(spacing, spacing, spacing)
        a_row = max(1, int(math.sqrt(count)))
        things = self.request["things"]
        self.envs = []
        self.origin = np.zeros((count, 3))
        self.gripper = np.zeros(count, dtype=np.int32)
        self.joint = np.zeros((count, len(self.joint_order)), dtype=int)
        self.gripper_body = []
        self.actor = [np.zeros((count, len(thing["forms"])), dtype=np.int32) for thing in things]
        self.handle = [np.zeros((count, len(thing["forms"])), dtype=int) for thing in things]
        for world in range(count):
            env = self.gym.create_env(self.sim, low, high, a_row)
            self.envs.append(env)
            corner = self.gym.get_env_origin(env)
            self.origin[world] = corner.x, corner.y, corner.z
            self._create_gripper(env, world)
            for t, thing in enumerate(things):
                for f in range(len(thing["forms"])):
                    self._create_thing(env, world, t, f)
        self.gripper_body = np.array(self.gripper_body)

    def _transform(self, pose):
        found = self.api.Transform()
        found.p = self.api.Vec3(*pose[:3])
        found.r = self.api.Quat(*[pose[3 + k] for k in XYZW])
        return found

    def _create_gripper(self, env, world):
        start = self._transform([0, 0, 0, 1, 0, 0, 0])
        handle = self.gym.create_actor(env, self.gripper_asset, start, "gripper", world, GRIPPER_FILTER)
        domain = self.api.DOMAIN_SIM
        self.gripper[world] = self.gym.get_actor_index(env, handle, domain)
        self.joint[world] = [self.gym.get_actor_dof_index(env, handle, k, domain) for k in self.joint_order]
        bodies = self.gym.get_actor_rigid_body_count(env, handle)
        self.gripper_body.append([self.gym.get_actor_rigid_body_index(env, handle, k, domain) for k in range(bodies)])
        properties = self.gym.get_actor_dof_properties(env, handle)
        for name, values in self.request["gripper"]["properties"].items():
            properties[name][self.joint_order] = values
        properties["driveMode"][:] = self.api.DOF_MODE_POS
        self.gym.set_actor_dof_properties(env, handle, properties)
        self._set_material(env, handle, [self.request["static_friction"], 0.0, 0.0])

    def _create_thing(self, env, world, t, f):
        thing = self.request["things"][t]
        here = self.form_of[self.variant[world], t] == f
        pose = self.arrays["root"][world, t, :7].tolist() if here else thing["forms"][f]["parked"]
        name = "{}_{}".format(thing["name"], f)
        handle = self.gym.create_actor(env, self.assets[t][f], self._transform(pose), name, world, 0)
        self.handle[t][world, f] = handle
        self.actor[t][world, f] = self.gym.get_actor_index(env, handle, self.api.DOMAIN_SIM)
        self._set_material(env, handle, thing["forms"][f]["material"])

    # -- parameters ----------------------------------------------------------------------------------------------------

    def _set_material(self, env, handle, material):
        shapes = self.gym.get_actor_rigid_shape_properties(env, handle)
        for shape in shapes:
            shape.friction, shape.restitution, shape.compliance = (float(value) for value in material)
        self.gym.set_actor_rigid_shape_properties(env, handle, shapes)

    def _apply_materials(self):
        asked = self.arrays["stage_material"]
        for world, t in zip(*np.nonzero(asked)):
            form = self.form_of[self.variant[world], t]
            handle = int(self.handle[t][world, form])
            self._set_material(self.envs[world], handle, self.arrays["material"][world, t])
        asked[:] = 0

    def _apply_bodies(self):
        """Mass and centre of mass: on the GPU of all forms and before `prepare` only, else of the one in its place."""
        asked = self.arrays["stage_body"]
        if self.is_prepared and self.on_gpu and asked.any():
            raise Refused("mass and com_offset are set before 'prepare' on the GPU; make the simulation again")
        for world, t in zip(*np.nonzero(asked)):
            forms = self.request["things"][t]["forms"]
            here = [int(self.form_of[self.variant[world], t])]
            for f in range(len(forms)) if self.on_gpu else here:
                factor = self.arrays["body"][world, t, 0]
                centre = np.array(forms[f]["centre_m"]) + self.arrays["body"][world, t, 1:]
                handle = int(self.handle[t][world, f])
                bodies = self.gym.get_actor_rigid_body_properties(self.envs[world], handle)
                bodies[0].mass = float(forms[f]["mass_kg"] * factor)
                bodies[0].com = self.api.Vec3(*[float(value) for value in centre])
                self.gym.set_actor_rigid_body_properties(self.envs[world], handle, bodies, recomputeInertia=True)
        asked[:] = 0

    # -- prepare and step ----------------------------------------------------------------------------------------------

    def prepare(self, request):
        """Take over what was drawn, then fix the simulation; afterwards it can be stepped."""
        if self.sim is None:
            raise Refused("'prepare' comes after 'build'")
        if self.is_prepared:
            raise Refused("'prepare' comes once")
        self._take_variants()
        self._apply_materials()
        self._apply_bodies()
        self.gym.prepare_sim(self.sim)
        self.is_prepared = True
        wrap = self.gymtorch.wrap_tensor
        self.roots = wrap(self.gym.acquire_actor_root_state_tensor(self.sim))
        self.dofs = wrap(self.gym.acquire_dof_state_tensor(self.sim))
        self.forces = wrap(self.gym.acquire_net_contact_force_tensor(self.sim))
        self._refresh()
        return {}

    def step(self, request):
        """Take over the staged rows, then simulate while joint targets go in a line from the old to the new ones."""
        if not self.is_prepared:
            raise Refused("'step' comes after 'prepare'")
        self._take_variants()
        self._apply_materials()
        self._apply_bodies()
        staged = [self._set_roots(), self._set_joints()]
        for k in range(1, request["num_substeps"] + 1):
            targets = self._set_targets(float(k) / request["num_substeps"])
            self.gym.simulate(self.sim)
            if not self.on_gpu:
                self.gym.fetch_results(self.sim, True)
        del staged, targets  # Isaac Gym reads what it was given at the next `simulate`
        self._refresh()
        self._publish()
        return {}

    def _take_variants(self):
        """Note the forms that have to make room for those of the worlds' variants now."""
        wanted = self.arrays["variant"]
        old = self.form_of[self.variant]
        for world, t in zip(*np.nonzero(old != self.form_of[wanted])):
            self.to_park.append((world, t, old[world, t]))
        self.variant = wanted.copy()

    def _refresh(self):
        self.gym.refresh_actor_root_state_tensor(self.sim)
        self.gym.refresh_dof_state_tensor(self.sim)
        self.gym.refresh_net_contact_force_tensor(self.sim)

    def _place(self):
        """Indices (N, T) of the actors that stand in their places."""
        forms = self.form_of[self.variant]
        everyone = np.arange(len(forms))
        return np.stack([self.actor[t][everyone, forms[:, t]] for t in range(forms.shape[1])], axis=-1)

    def _given(self, array):
        """The array as a tensor on the simulation's device, and as Isaac Gym takes it."""
        tensor = self.torch.from_numpy(np.ascontiguousarray(array)).to(self.dofs.device)
        return tensor, self.gymtorch.unwrap_tensor(tensor)

    def _global_rows(self, world, rows):
        """Rows (..., 13) of worlds as Isaac Gym has them."""
        found = rows.copy()
        found[..., :3] += self.origin[world]
        found[..., 3:7] = rows[..., 3:7][..., XYZW]
        return found

    def _set_roots(self):
        """Put what is staged into its place, and what has made room for it beside the table."""
        asked = self.arrays["stage_root"]
        rows = {}
        for world, t, form in self.to_park:
            parked = np.zeros(wire.ROOT)
            parked[:7] = self.request["things"][t]["forms"][form]["parked"]
            rows[int(self.actor[t][world, form])] = self._global_rows(world, parked)
        place = self._place()
        for world, t in zip(*np.nonzero(asked)):
            rows[int(place[world, t])] = self._global_rows(world, self.arrays["root"][world, t])
        self.to_park = []
        asked[:] = 0
        if not rows:
            return None
        indices = np.array(sorted(rows), dtype=np.int32)
        table = self.roots.cpu().numpy().copy()
        table[indices] = np.array([rows[k] for k in indices])
        states, its = self._given(table)
        actors, theirs = self._given(indices)
        self._check(self.gym.set_actor_root_state_tensor_indexed(self.sim, its, theirs, len(indices)), "root states")
        return states, actors

    def _set_joints(self):
        """Put the grippers of the staged worlds where they should be."""
        asked = self.arrays["stage_joint"]
        worlds = np.flatnonzero(asked)
        asked[:] = 0
        if not len(worlds):
            return None
        table = self.dofs.cpu().numpy().copy()
        table[self.joint[worlds]] = self.arrays["joint"][worlds]
        states, its = self._given(table)
        actors, theirs = self._given(np.sort(self.gripper[worlds]))
        self._check(self.gym.set_dof_state_tensor_indexed(self.sim, its, theirs, len(worlds)), "joint states")
        return states, actors

    def _set_targets(self, share):
        before = self.arrays["target_before"]
        table = np.zeros(self.dofs.shape[0], dtype=np.float32)
        table[self.joint] = before + share * (self.arrays["target"] - before)
        targets, its = self._given(table)
        self._check(self.gym.set_dof_position_target_tensor(self.sim, its), "joint targets")
        return targets

    def _check(self, taken, what):
        if not taken:
            raise RuntimeError(f"Isaac Gym did not take the {what}")

    def _publish(self):
        """What has come out, for the client."""
        rows = self.roots.cpu().numpy()[self._place()].astype(float)
        rows[..., :3] -= self.origin[:, None]
        rows[..., 3:7] = rows[..., 3:7][..., WXYZ]
        self.arrays["root"][:] = rows
        self.arrays["joint"][:] = self.dofs.cpu().numpy()[self.joint]
        self.arrays["force"][:] = self.forces.cpu().numpy()[self.gripper_body].sum(axis=1)


def serve(connection, simulation):
    """Answer requests until the client is gone."""
    answers = {"build": simulation.build, "prepare": simulation.prepare, "step": simulation.step}
    wire.send(connection, {"version": wire.VERSION})
    while True:
        try:
            request = wire.receive(connection)
        except EOFError:
            return
        try:
            answer = answers[request["do"]](request)
        except Refused as refusal:
            answer = {"refused": str(refusal)}
        except ModuleNotFoundError as error:
            answer = {"missing": str(error)}
        except Exception as error:  # whatever Isaac Gym raises is told to the client, which ends this process
            traceback.print_exc()
            said = " ".join(str(error).split())
            answer = {"failed": "Isaac Gym failed at {!r}: {}: {}".format(request["do"], type(error).__name__, said)}
        try:
            wire.send(connection, answer)
        except BrokenPipeError:
            return


def main(arguments):
    """Serve the client that left these file descriptors open."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the client, which closes the socket
    connection = Connection(int(arguments[0]))
    arrays = wire.map_arrays(int(arguments[1]), json.loads(arguments[2]))
    os.close(int(arguments[1]))
    serve(connection, Simulation(arrays))


if __name__ == "__main__":
    main(sys.argv[1:])
