# ruff: noqa: B905 (Python 3.8 has no zip(strict=))
"""The double's physics: URDF files become one MuJoCo model a world, its state the rows that Isaac Gym has.

Numbers that go out are rounded to float32 where they are kept, for PhysX knows no others.
"""

import copy
import os
from xml.etree import ElementTree

import mujoco
import numpy as np

OFF_CENTRE_M = 1e-7  # of every centre of mass, else MuJoCo leaves no room for one that is moved later
CONTACT_S = 0.02  # MuJoCo's time constant of a hard contact


class Asset:
    """A URDF file: its links in order, with geometry; refuses what the importer of Isaac Gym drops."""

    def __init__(self, root, file, options):
        self.folder = root
        self.options = options
        self.tree = ElementTree.parse(os.path.join(root, file)).getroot()
        self.links = self.tree.findall("link")
        self.joints = {joint.find("child").get("link"): joint for joint in self.tree.findall("joint")}
        for link in self.links:
            mass = link.find("inertial/mass")
            inertia = link.find("inertial/inertia")
            if mass is None or inertia is None or float(mass.get("value")) <= 0:
                raise ValueError("link {} has no mass".format(link.get("name")))
            tensor = _tensor(inertia)
            moments = np.linalg.eigvalsh(tensor)
            if moments[0] <= 0 or moments[2] > (moments[0] + moments[1]) * 1.0001:
                raise ValueError("link {} has an impossible inertia {}".format(link.get("name"), moments))
            for shape in link.findall("collision/geometry/*"):
                if shape.tag not in ("box", "sphere", "cylinder", "mesh"):
                    raise ValueError(f"URDF has no {shape.tag}")
        moving = [j for j in self.tree.findall("joint") if j.get("type") != "fixed"]
        # Backwards: nobody may count on the order of the file.
        self.dof_names = [joint.get("name") for joint in moving][::-1]
        self.num_shapes = len(self.tree.findall("link/collision"))

    def body(self, name, collision_filter, meshes):
        """The MJCF body of this asset as an actor."""
        # Parts with a bit of the filter in common do not collide.
        self.bits = {"contype": "1", "conaffinity": "2"} if collision_filter else {"contype": "2", "conaffinity": "3"}
        top = self.links[0]
        fixed = self.options.fix_base_link
        found = ElementTree.Element("body", name=name, mocap="true" if fixed and not self.dof_names else "false")
        if not fixed:
            ElementTree.SubElement(found, "freejoint", name=name)
        self._fill(found, top, name, meshes)
        return found

    def _fill(self, body, link, actor, meshes):
        if self.options.disable_gravity:
            body.set("gravcomp", "1")
        inertial = link.find("inertial")
        tensor = _tensor(inertial.find("inertia"))
        centre = np.array(inertial.find("origin").get("xyz").split(), dtype=float)
        ElementTree.SubElement(
            body,
            "inertial",
            pos=_numbers(centre + OFF_CENTRE_M),
            mass=inertial.find("mass").get("value"),
            fullinertia=_numbers([*np.diag(tensor), tensor[0, 1], tensor[0, 2], tensor[1, 2]]),
        )
        for part in link.findall("collision"):
            self._add_geom(body, part, actor, meshes)
        for name, joint in self.joints.items():
            if joint.find("parent").get("link") == link.get("name"):
                child = next(one for one in self.links if one.get("name") == name)
                below = ElementTree.SubElement(body, "body", name=f"{actor}/{name}", **_place(joint))
                self._add_joint(below, joint, actor)
                self._fill(below, child, actor, meshes)

    def _add_joint(self, body, joint, actor):
        if joint.get("type") == "fixed":
            return
        limit = joint.find("limit")
        kind = {"prismatic": "slide", "continuous": "hinge", "revolute": "hinge"}[joint.get("type")]
        attributes = {"name": "{}/{}".format(actor, joint.get("name")), "type": kind}
        if joint.get("type") != "continuous":
            attributes.update(range="{} {}".format(limit.get("lower"), limit.get("upper")), limited="true")
        ElementTree.SubElement(body, "joint", axis=joint.find("axis").get("xyz"), **attributes)

    def _add_geom(self, body, part, actor, meshes):
        shape = part.find("geometry")[0]
        if shape.tag == "mesh":
            file = os.path.join(self.folder, shape.get("filename"))
            size = {"mesh": meshes.setdefault(file, f"mesh{len(meshes)}")}
        elif shape.tag == "box":
            size = {"size": _numbers(np.array(shape.get("size").split(), dtype=float) / 2)}
        elif shape.tag == "sphere":
            size = {"size": shape.get("radius")}
        else:
            size = {"size": "{} {:.9g}".format(shape.get("radius"), float(shape.get("length")) / 2)}
        ElementTree.SubElement(body, "geom", type=shape.tag, condim="4", mass="0", **self.bits, **_place(part), **size)


def _tensor(inertia):
    read = {key: float(value) for key, value in inertia.attrib.items()}
    return np.array(
        [
            [read["ixx"], read["ixy"], read["ixz"]],
            [read["ixy"], read["iyy"], read["iyz"]],
            [read["ixz"], read["iyz"], read["izz"]],
        ]
    )


def _numbers(values):
    return " ".join(f"{value:.9g}" for value in values)


def _place(element):
    """Position and quaternion of an <origin>: rotations about fixed x, y, z."""
    origin = element.find("origin")
    quaternion = np.array([1.0, 0, 0, 0])
    for axis, angle in enumerate(float(value) for value in origin.get("rpy").split()):
        turn = np.zeros(4)
        mujoco.mju_axisAngle2Quat(turn, np.eye(3)[axis], angle)
        result = np.zeros(4)
        mujoco.mju_mulQuat(result, turn, quaternion)
        quaternion = result
    return {"pos": origin.get("xyz"), "quat": _numbers(quaternion)}


def compile_world(params, actors):
    """An MjModel of one world: the ground, and actors (name, Asset, collision filter) without their joints' drives."""
    root = ElementTree.Element("mujoco")
    ElementTree.SubElement(root, "compiler", angle="radian", autolimits="true", boundmass="0", boundinertia="0")
    options = {"timestep": _numbers([params.dt / params.substeps]), "gravity": _numbers(params.gravity.values())}
    flags = ElementTree.SubElement(
        root, "option", integrator="implicitfast", cone="elliptic", impratio="10", jacobian="dense", **options
    )
    ElementTree.SubElement(flags, "flag", warmstart="disable")
    assets = ElementTree.SubElement(root, "asset")
    world = ElementTree.SubElement(root, "worldbody")
    ElementTree.SubElement(world, "geom", type="plane", size="50 50 1", contype="2", conaffinity="3")
    actuators = ElementTree.SubElement(root, "actuator")
    meshes = {}
    for name, asset, collision_filter in actors:
        world.append(asset.body(name, collision_filter, meshes))
        for joint in asset.dof_names:
            full = f"{name}/{joint}"
            ElementTree.SubElement(actuators, "general", name=full, joint=full, biastype="affine", forcelimited="true")
            actuators[-1].set("forcerange", "-1 1")
    for file, name in meshes.items():
        ElementTree.SubElement(assets, "mesh", name=name, file=file, inertia="convex")
    return mujoco.MjModel.from_xml_string(ElementTree.tostring(root, encoding="unicode"))


class World:
    """One world's model and state; actors by number."""

    def __init__(self, model, actors, plane_friction):
        self.model = copy.copy(model)
        self.data = mujoco.MjData(self.model)
        self.plane_friction = plane_friction
        self.model.body_sameframe[self.model.body_mass > 0] = 0  # centres of mass may be moved
        self.body = [model.body(name).id for name, _, _ in actors]
        self.parts = [self._below(body) for body in self.body]
        self.geoms = [np.flatnonzero(np.isin(model.geom_bodyid, parts)) for parts in self.parts]
        self.dofs = [[model.joint(f"{name}/{j}").id for j in asset.dof_names] for name, asset, _ in actors]
        self.nominal = [(model.body_mass[b], model.body_inertia[b].copy()) for b in self.body]

    def _below(self, top):
        inside = [top]
        for body in range(top + 1, self.model.nbody):
            if self.model.body_parentid[body] in inside:
                inside.append(body)
        return inside

    def set_material(self, actor, material):
        """PhysX takes the mean of two shapes' friction and restitution; here against what has the ground's friction."""
        friction, restitution, compliance = material
        mass = self.nominal[actor][0]
        time_s = np.sqrt(CONTACT_S**2 + compliance * mass)
        gone = np.log(max(restitution / 2, 1e-9))
        ratio = min(1.0, -gone / np.hypot(np.pi, gone)) if restitution > 0.05 else 1.0
        geoms = self.geoms[actor]
        is_movable = self.model.body_dofnum[self.body[actor]] == 6
        self.model.geom_friction[geoms, 0] = (friction + self.plane_friction) / 2 if is_movable else 1.0
        self.model.geom_priority[geoms] = int(is_movable)
        self.model.geom_solref[geoms] = [max(time_s, 2 * self.model.opt.timestep / ratio), ratio]

    def set_body(self, actor, mass, centre):
        """Mass with the inertia in proportion, and the centre of mass."""
        body = self.body[actor]
        nominal, inertia = self.nominal[actor]
        self.model.body_mass[body] = mass
        self.model.body_inertia[body] = inertia * (mass / nominal)
        self.model.body_ipos[body] = np.array(centre) + OFF_CENTRE_M
        mujoco.mj_setConst(self.model, mujoco.MjData(self.model))

    def set_drive(self, actor, properties):
        """Position drives: stiffness and damping clamped together, as PhysX does."""
        for k, joint in enumerate(self.dofs[actor]):
            actuator = self.model.actuator(self.model.joint(joint).name).id
            self.model.actuator_gainprm[actuator, 0] = properties["stiffness"][k]
            self.model.actuator_biasprm[actuator, :3] = 0, -properties["stiffness"][k], -properties["damping"][k]
            self.model.actuator_forcerange[actuator] = -properties["effort"][k], properties["effort"][k]
            self.model.dof_armature[self.model.jnt_dofadr[joint]] = properties["armature"][k]
        mujoco.mj_setConst(self.model, mujoco.MjData(self.model))

    def set_target(self, actor, targets):
        for k, joint in enumerate(self.dofs[actor]):
            self.data.ctrl[self.model.actuator(self.model.joint(joint).name).id] = targets[k]

    def set_root(self, actor, row, origin):
        """Row (13,) in the library's order: global position, quaternion x y z w, velocity of the centre, spin."""
        if not np.all(np.isfinite(row)) or abs(np.linalg.norm(row[3:7]) - 1) > 1e-3:
            raise ValueError(f"no root state: {row}")
        body = self.body[actor]
        position = row[:3] - origin
        quaternion = row[[6, 3, 4, 5]]
        if self.model.body_mocapid[body] >= 0:
            self.data.mocap_pos[self.model.body_mocapid[body]] = position
            self.data.mocap_quat[self.model.body_mocapid[body]] = quaternion
            return
        joint = self.model.body_jntadr[body]
        address, dof = self.model.jnt_qposadr[joint], self.model.jnt_dofadr[joint]
        self.data.qpos[address : address + 3] = position
        self.data.qpos[address + 3 : address + 7] = quaternion
        turn = np.zeros(9)
        mujoco.mju_quat2Mat(turn, quaternion / np.linalg.norm(quaternion))
        axes = turn.reshape(3, 3)
        spin = row[10:13]
        self.data.qvel[dof : dof + 3] = row[7:10] - np.cross(spin, axes @ self.model.body_ipos[body])
        self.data.qvel[dof + 3 : dof + 6] = axes.T @ spin

    def root(self, actor, origin):
        """As `set_root` takes it."""
        body = self.body[actor]
        velocity = np.zeros(6)
        mujoco.mj_objectVelocity(self.model, self.data, mujoco.mjtObj.mjOBJ_BODY, body, velocity, 0)
        return np.concatenate(
            [self.data.xpos[body] + origin, self.data.xquat[body][[1, 2, 3, 0]], velocity[3:], velocity[:3]]
        )

    def set_dof(self, actor, rows):
        for k, joint in enumerate(self.dofs[actor]):
            self.data.qpos[self.model.jnt_qposadr[joint]] = rows[k, 0]
            self.data.qvel[self.model.jnt_dofadr[joint]] = rows[k, 1]

    def dof(self, actor):
        joints = self.dofs[actor]
        return np.array(
            [[self.data.qpos[self.model.jnt_qposadr[j]], self.data.qvel[self.model.jnt_dofadr[j]]] for j in joints]
        ).reshape(-1, 2)

    def simulate(self, substeps):
        """Advance, keep float32 numbers, and bring poses and forces up to date."""
        for _ in range(substeps):
            mujoco.mj_step(self.model, self.data)
        for values in (self.data.qpos, self.data.qvel):
            values[:] = values.astype(np.float32)
        self.show()

    def show(self):
        mujoco.mj_kinematics(self.model, self.data)
        mujoco.mj_comPos(self.model, self.data)
        mujoco.mj_comVel(self.model, self.data)

    def forces(self, actor):
        """Net contact force (bodies, 3) on the parts of an actor in the last substep, world axes."""
        found = np.zeros((len(self.parts[actor]), 3))
        index = {body: k for k, body in enumerate(self.parts[actor])}
        force = np.zeros(6)
        for k, contact in enumerate(self.data.contact):
            bodies = [self.model.geom_bodyid[g] for g in contact.geom]
            for sign, body in zip((-1, 1), bodies):
                if body in index:
                    mujoco.mj_contactForce(self.model, self.data, k, force)
                    found[index[body]] += sign * (contact.frame.reshape(3, 3).T @ force[:3])
        return found
