"""What tests and disturbances may order in a lab, by name: look at the truth, move things, break things.

    orders(lab)  ->  {"truth": function, ...}      called by control.py with the other members of an order as keywords

Times in seconds are the lab's unless they end in `wall_s`. ValueError and KeyError say in one sentence what is wrong.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np

from real_env.lab.box import COLLISION_NM
from real_env.lab.clock import check_factor
from real_env.lab.codes import Mode, State
from real_env.lab.laboratory import Lab
from real_env.lab.modes import TICK_S
from real_env.lab.moves import JointMove, Limits

_MAX_CODE = 255
_MAX_WALL_S = 600.0
_CHEEKY_SPEED_RAD_S = 0.2  # of a second host that moves joint 1
_CHEEKY_TURN_RAD = 0.1


class Orders:
    """One method an order; its keyword arguments are JSON data, what it returns too."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab

    def table(self) -> dict[str, Callable[..., Any]]:
        """Order -> method."""
        own = inspect.getmembers(self, inspect.ismethod)
        return {name: method for name, method in own if not name.startswith("_") and name != "table"}

    # -- look --------------------------------------------------------------------------------------------------------

    def truth(self) -> dict[str, Any]:
        """Objects' true poses and twists, the tool centre's true pose, the opening, contacts of the arm, lab time."""
        world = self._lab.place
        reading = self._lab.box.reading
        return {
            "objects": world.truth(),
            "hand_pose": world.hand_pose().tolist(),
            "opening_m": reading.opening_m,
            "angles_rad": reading.angles_rad.tolist(),
            "contacts": list(world.contacts()),
            "time_s": self._lab.box.num_ticks * TICK_S,
        }

    def scene(self) -> dict[str, Any]:
        """The scene as it was arranged (an `iker_envs.scene.Scene` as a dictionary), its seed and configuration."""
        arrangement = self._lab.world.arrangement
        return {
            "task": self._lab.task_name,
            "seed": arrangement.seed,
            "configuration": arrangement.configuration,
            "scene": arrangement.scene.to_dict(),
        }

    def status(self) -> dict[str, Any]:
        """The box, the clock, the cameras.

        `errors` is how often each error of the box came since the lab started, by its code as text; `peak_nm` is the
        largest external torque on a joint since the last call, `collided_with` what the arm touched at its last
        collision, `cameras` how pictures are drawn.
        """
        lab = self._lab
        peak_nm = lab.peak_nm
        lab.peak_nm = 0.0
        return {
            "state": int(lab.box.state),
            "mode": int(lab.box.mode),
            "error": lab.box.error,
            "errors": {str(code): count for code, count in lab.box.errors.items()},
            "enabled": lab.box.enabled,
            "clock": lab.clock.factor,
            "paused": lab.clock.paused,
            "num_late": lab.clock.num_late,
            "dropped_s": lab.clock.dropped_s,
            "num_commands": lab.link.num_commands,
            "peak_nm": peak_nm,
            "collided_with": list(lab.collided_with),
            "cameras": "" if lab.cameras is None else lab.cameras.kind if lab.cameras.alive else "ended",
        }

    # -- move --------------------------------------------------------------------------------------------------------

    def move(self, name: str, pose: list[float]) -> None:
        """Put an object at a pose (7,) at rest, as a person would."""
        numbers = np.asarray(pose, dtype=float)
        if numbers.shape != (7,) or not np.all(np.isfinite(numbers)):
            raise ValueError(f"a pose is 7 finite numbers (x, y, z, qw, qx, qy, qz), not {pose!r}")
        length = float(np.linalg.norm(numbers[3:]))
        if not 0.9 < length < 1.1:
            raise ValueError(f"the quaternion of a pose has length 1, not {length:.3g}")
        numbers[3:] /= length
        self._lab.world.move(name, numbers)

    async def reset(self, seed: int, configuration: int = 0) -> None:
        """Arrange the task's objects anew; the arm stays where it is."""
        await self._lab.reset(int(seed), int(configuration))

    # -- time --------------------------------------------------------------------------------------------------------

    def pause(self, on: bool) -> None:
        """Stop the lab's time, or let it go on; the wire still answers."""
        self._lab.clock.paused = bool(on)

    def clock(self, factor: float) -> None:
        """Run at another pace."""
        self._lab.clock.factor = check_factor(factor)

    def stop(self) -> None:
        """End the lab."""
        self._lab.stopping.set()

    # -- break the arm -----------------------------------------------------------------------------------------------

    def fault(self, code: int) -> None:
        """Let the box show an error: 31 collision, 60 servo speed, 22, 23, 24, 35, 11 a servo, ... ."""
        if not 0 < int(code) <= _MAX_CODE:
            raise ValueError(f"an error of the box is 1 to {_MAX_CODE}, not {code!r}")
        self._lab.box.fault(int(code))

    def emergency_stop(self, held: bool = True) -> None:
        """Push the red button; it stays in until `held` is false, and error 1 comes back until then."""
        self._lab.box.press_emergency_stop(held=bool(held))

    def gripper_fault(self, code: int = 11, held: bool = False) -> None:
        """Let the gripper show an error; 0 mends it. While held, cleaning does not help."""
        if not 0 <= int(code) < 128:
            raise ValueError(f"an error of the gripper is 0 to 127, not {code!r}")
        self._lab.box.gripper.fail(int(code), held=bool(held) and int(code) != 0)

    def second_client(self, does: str = "mode") -> None:
        """Somebody else takes the arm: changes the "mode" to 0, says "stop", or does a small "move" of joint 1."""
        box = self._lab.box
        if does not in ("mode", "stop", "move"):
            raise ValueError(f'a second client changes the "mode", says "stop" or does a "move", not {does!r}')
        if does == "stop":
            box.set_state(State.STOPPED)
            return
        box.set_mode(Mode.QUEUE)
        if does == "move":
            box.set_state(0)
            goal = box.arm.angles_rad + np.array([_CHEEKY_TURN_RAD, 0, 0, 0, 0, 0, 0])
            box.move(JointMove(goal, Limits.joint(_CHEEKY_SPEED_RAD_S, 1.0), lambda ending: None))

    def collision_thresholds(self, nm: list[float] | None = None) -> list[float]:
        """Set the external torque in Nm that is a collision, by sensitivity 0 to 5; without numbers, the usual ones."""
        numbers = list(COLLISION_NM) if nm is None else [float(x) for x in nm]
        if len(numbers) != len(COLLISION_NM) or min(numbers) <= 0:
            raise ValueError(f"thresholds are {len(COLLISION_NM)} torques above 0, not {nm!r}")
        self._lab.box.collision_nm = numbers
        return [min(x, 1e9) for x in numbers]

    def camera(self, name: str, does: str, value: float = 1.0) -> None:
        """Let a camera be "ok", "frozen" (no pictures), "stuck" (one for ever) or "missing", or set "exposure"."""
        if self._lab.cameras is None:
            raise ValueError("this lab has no cameras; start one without --no-cameras")
        self._lab.cameras.change(name, does, float(value))

    def board(
        self,
        on: str,
        pose: list[float] | None = None,
        columns: int = 7,
        rows: int = 5,
        square_m: float = 0.035,
    ) -> None:
        """Lay the marker board on the "table" or put it into the "hand", at a pose (7,) there; "none" takes it away.

        Cameras see it; it weighs nothing and nothing touches it.
        """
        if self._lab.cameras is None:
            raise ValueError("this lab has no cameras; start one without --no-cameras")
        if find_spec("cv2") is None:
            raise ValueError("a board needs opencv: pip install 'iker[calibration]'")
        if on not in ("table", "hand", "none"):
            raise ValueError(f'a board lies on the "table", is in the "hand", or there is "none", not {on!r}')
        numbers = np.asarray([0, 0, 0, 1, 0, 0, 0] if pose is None else pose, dtype=float)
        if numbers.shape != (7,) or not np.isfinite(numbers).all() or not 0.9 < np.linalg.norm(numbers[3:]) < 1.1:
            raise ValueError(f"a pose is 7 finite numbers (x, y, z, qw, qx, qy, qz), not {pose!r}")
        numbers[3:] /= np.linalg.norm(numbers[3:])
        size = {"columns": int(columns), "rows": int(rows), "square_m": float(square_m)}
        self._lab.cameras.board({"on": on, "pose": numbers.tolist(), **size})

    # -- break the link ----------------------------------------------------------------------------------------------

    def silence(self, on: bool = True) -> None:
        """Carry out what hosts send, and never answer or report; until it is switched off."""
        self._lab.link.silent = bool(on)

    def dead_link(self, wall_s: float) -> None:
        """Let nothing pass for a time; what was sent meanwhile arrives afterwards."""
        self._lab.later(self._lab.link.cut(_span(wall_s)))

    def close_sockets(self) -> None:
        """Close all connections; the box goes on and accepts new ones."""
        self._lab.link.drop()

    def reboot(self, lab_s: float = 5.0) -> None:
        """Switch the box off and on: it is away for a time and has forgotten everything."""
        self._lab.later(self._lab.reboot(_span(lab_s)))


def _span(seconds: float) -> float:
    if not 0 < float(seconds) <= _MAX_WALL_S:
        raise ValueError(f"a span is above 0 and at most {_MAX_WALL_S:g} s, not {seconds!r}")
    return float(seconds)
