"""The arm and its gripper through the vendor's SDK: the only module that knows millimetres, pulses and return codes.

    RealConfig  ->  Arm  ->  ready, joints, servo, move_gripper, opening_m, stop, close

Every call's return code becomes a RobotFault or is 0. No call waits for ever: the SDK's own time-out is 0.2 s, sent
twice, and what waits here has a deadline. Angles are radians, lengths metres.
"""

from __future__ import annotations

import contextlib
import io
import logging
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from functools import partial
from typing import Any

import numpy as np

from real_env.config import RealConfig
from real_env.faults import Kind, RobotFault, fault_of_code
from real_env.xarm7 import GRIPPER_PULSES, GRIPPER_STROKE_M

SERVO_MODE = 1  # joint set points at 100 Hz (vendor: robot state and mode explanation)
_MOVING = (1, 2)  # states in which it obeys: moving, ready
_STOP = 4
_REPLY_S = 0.2  # an answer takes 0.3 to 2 ms
_SETTLE_S = 0.25  # a report comes five times a second
_READY_S = 3.0  # to change mode and state; 0.3 s is usual
_POLL_S = 0.02
_RETRY_S = 0.5  # between attempts to connect
_GRIPPER_SPEED = 3000  # pulses/s: 0.3 m/s, more than the fingers are ever asked for
_CONNECT_S = 15.0  # for the SDK to connect: it tries for 10 s, and has once waited for a lock of its own for minutes
_PROBE_S = 1.0  # for a connection, and for its first answer
_VERSION_REQUEST = bytes([0, 1, 0, 2, 0, 1, 1])  # transaction 1, protocol 2, 1 byte: register 1 (vendor's protocol)
_TIMED_OUT = 3
_WARNING = 2
_NOT_CONNECTED = -1
_OUT_OF_RANGE = -8
_GRIPPER_FAULT = 102
_PIP = "the robot's SDK is not installed; pip install 'iker[real]'"


class Arm:
    """An xArm7 with the vendor's gripper. RobotFault from any method if the box refuses or is silent.

    `codes` counts (call, return code).
    """

    def __init__(self, config: RealConfig) -> None:
        self._config = config
        self.codes: Counter[tuple[str, int]] = Counter()
        self._api: Any = None
        self._pulses = -1  # last asked of the gripper
        self._is_new = True  # the connection, until the arm is ready for the first time
        try:
            self._connect()
        except BaseException:
            self.hang_up()  # whatever of it is there
            raise

    # -- the link ------------------------------------------------------------------------------------------------

    def _connect(self) -> None:
        if not self._serves():
            raise RobotFault(Kind.LINK, self._address())
        sdk = _sdk(self._config.arm.command_port)
        before = socket.getdefaulttimeout()
        make = partial(
            sdk,
            self._config.arm.ip,
            is_radian=True,
            forbid_uds=True,  # else a file of an emulator in /tmp would be taken for the robot
            check_is_pause=False,  # else a paused arm blocks its caller for ever
        )
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                self._api = _made_within(_CONNECT_S, make)
        except TimeoutError:
            raise RobotFault(Kind.LINK, f"{self._address()}: no connection within {_CONNECT_S:g} s") from None
        except Exception as error:  # the SDK raises plain Exception
            raise RobotFault(Kind.LINK, f"{self._address()}: {error}") from error
        finally:
            socket.setdefaulttimeout(before)  # the SDK sets it for the whole process
        if not self._api.connected:
            raise RobotFault(Kind.LINK, self._address())
        reply_s = _REPLY_S / min(1.0, self._config.clock)
        self._api.set_timeout([reply_s, reply_s])
        self._is_new = True

    def _serves(self) -> bool:
        """Does the box answer a question for its version? While it boots, it accepts connections and says nothing.

        The SDK would try for 10 s.
        """
        try:
            with socket.create_connection((self._config.arm.ip, self._config.arm.command_port), _PROBE_S) as box:
                box.settimeout(_PROBE_S)
                box.sendall(_VERSION_REQUEST)
                return len(box.recv(64)) > len(_VERSION_REQUEST)
        except OSError:
            return False

    def reconnect(self, timeout_s: float) -> None:
        """Wait until the box answers, over new sockets where the old ones are closed; RobotFault after `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                if not self._api.connected:
                    self._disconnect()
                    self._connect()
                self._call("get_state")
                return
            except RobotFault:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_RETRY_S)

    def _address(self) -> str:
        return f"{self._config.arm.ip}, port {self._config.arm.command_port}"

    def _disconnect(self) -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            self._api.disconnect()

    def close(self) -> None:
        """Hold the arm where it is and hang up; may be called again."""
        with contextlib.suppress(RobotFault):  # a box that is gone needs no goodbye
            if self._api is not None and self._api.connected:
                self.stop()
        self.hang_up()

    def hang_up(self) -> None:
        """Leave the arm as it is; may be called again."""
        if self._api is not None:
            self._disconnect()
            self._api = None

    # -- the arm -------------------------------------------------------------------------------------------------

    def ready(self) -> None:
        """Clear errors, enable, and enter servo mode, the gripper too; RobotFault if it does not get there."""
        self._call("get_state")  # a silent box is found out in 0.4 s; motion_enable would take 5
        self._call("clean_error")
        self._call("clean_warn")
        if self._is_new:  # later the SDK would wait for motions that it believes to be under way
            self._call("set_collision_sensitivity", self._config.collision_sensitivity)
            self._is_new = False
        self._call("motion_enable", True)
        self._call("set_mode", SERVO_MODE)
        self._call("set_state", 0)
        time.sleep(_SETTLE_S / self._config.clock)  # what is reported until then is from before
        deadline = time.monotonic() + _READY_S / self._config.clock
        while not self._obeys():
            self.check_error()
            if time.monotonic() > deadline:
                raise RobotFault(Kind.FOREIGN, f"mode {self._api.mode}, state {self._api.state} after {_READY_S:g} s")
            time.sleep(_POLL_S)
        self._call("clean_gripper_error")
        self._call("set_gripper_mode", 0)
        self._call("set_gripper_enable", True)
        self._call("set_gripper_speed", _GRIPPER_SPEED)
        self._pulses = -1
        self.check_error()

    def _obeys(self) -> bool:
        """Is it in servo mode and ready? The mode is as old as the last report, 0.2 s."""
        state = self._call("get_state")[0]
        return self._api.mode == SERVO_MODE and state in _MOVING

    def check_error(self) -> None:
        """RobotFault if the box has an error."""
        error = self._errors()
        if error:
            raise fault_of_code(error)

    def check_ours(self) -> None:
        """RobotFault if the box has an error, or if somebody took it out of servo mode or stopped it."""
        self.check_error()
        if not self._obeys():
            raise RobotFault(Kind.FOREIGN, f"mode {self._api.mode}, state {self._api.state}, not servo mode and ready")

    def joints(self) -> np.ndarray:
        """The measured joint angles (7,)."""
        return np.array(self._call("get_servo_angle", is_radian=True, is_real=True)[0][:7])

    def planned_joints(self) -> np.ndarray:
        """The joint angles (7,) that the box itself holds or heads for: set points that begin there do not jump."""
        return np.array(self._call("get_servo_angle", is_radian=True)[0][:7])

    def torques_nm(self) -> np.ndarray:
        """The motors' torques (7,), the arm's weight included."""
        return np.array(self._call("get_joints_torque")[0][:7])

    def servo(self, joints_rad: np.ndarray) -> None:
        """Send one set point (7,): the box goes there at once."""
        self._call("set_servo_angle_j", [float(angle) for angle in joints_rad], is_radian=True)

    def stop(self) -> None:
        """Stop at once and hold the position; `ready` before it moves again."""
        self._call("set_state", _STOP)

    # -- the gripper ---------------------------------------------------------------------------------------------

    def move_gripper(self, opening_m: float) -> None:
        """Send the fingers to a distance from each other; they go on moving after the call."""
        pulses = round(float(np.clip(opening_m / GRIPPER_STROKE_M, 0.0, 1.0)) * GRIPPER_PULSES)
        if pulses != self._pulses:
            self._call("set_gripper_position", pulses, wait=False, wait_motion=False, auto_enable=False)
            self._pulses = pulses

    def opening_m(self) -> float:
        """The measured distance between the fingers."""
        return float(self._call("get_gripper_position")[0]) / GRIPPER_PULSES * GRIPPER_STROKE_M

    def check_gripper(self) -> None:
        """RobotFault if the gripper reports an error."""
        error = self._call("get_gripper_err_code")[0]
        if error:
            raise RobotFault(Kind.GRIPPER, f"G{error}")

    # -- facts ---------------------------------------------------------------------------------------------------

    @property
    def firmware(self) -> str:
        """Version of the box's firmware."""
        return ".".join(map(str, self.firmware_version))

    @property
    def firmware_version(self) -> tuple[int, ...]:
        """The same as numbers."""
        return tuple(int(part) for part in self._api.version_number)

    @property
    def serial(self) -> str:
        """Serial number of the arm."""
        return str(self._api.sn)

    @property
    def num_axes(self) -> int:
        """7 for an xArm7."""
        return int(self._api.axis)

    def error_code(self) -> int:
        """The box's present error, 0 for none."""
        return self._errors()

    # -- codes ---------------------------------------------------------------------------------------------------

    def _errors(self) -> int:
        return int(self._call("get_err_warn_code")[0][0])

    def _call(self, name: str, *arguments: Any, **named: Any) -> list[Any]:
        """Call the SDK; what it gives beside its code 0, else RobotFault."""
        code, values = self._asked(name, *arguments, **named)
        if code == _TIMED_OUT and name in _SAID_TWICE:
            code, values = self._asked(name, *arguments, **named)
        if code in (0, _WARNING) or (code == 1 and name in _ANSWER_UNDER_ERROR):
            return values
        raise self._fault(name, code)

    def _asked(self, name: str, *arguments: Any, **named: Any) -> tuple[int, list[Any]]:
        result = getattr(self._api, name)(*arguments, **named)
        code, *values = result if isinstance(result, (tuple, list)) else (result,)  # a bare 102 where (102, x) is meant
        self.codes[name, int(code)] += 1
        return int(code), values

    def _fault(self, name: str, code: int) -> RobotFault:
        told = f"{name} returned {code}"
        if code in (_TIMED_OUT, _NOT_CONNECTED) or not self._api.connected:
            return RobotFault(Kind.LINK, told)
        if code == _OUT_OF_RANGE:
            return RobotFault(Kind.JOINT_LIMIT, told)
        if name != "get_err_warn_code":
            try:
                error = self._errors()
            except RobotFault as fault:
                return fault
            if error:
                return fault_of_code(error, told)
        if code == _GRIPPER_FAULT or "gripper" in name:
            return RobotFault(Kind.GRIPPER, told)
        return RobotFault(Kind.FOREIGN, f"{told}, mode {self._api.mode}, state {self._api.state}")


# Calls that say how things should be, not where to go: one answer that is late on a busy machine is no dead link.
_SAID_TWICE = frozenset(
    {"clean_error", "clean_warn", "set_collision_sensitivity", "motion_enable", "set_mode", "set_state"}
    | {"clean_gripper_error", "set_gripper_mode", "set_gripper_enable", "set_gripper_speed"}
)

# Calls that do their work, and say 1, while the box has an error: only the error itself counts then.
_ANSWER_UNDER_ERROR = frozenset(
    {"get_state", "get_err_warn_code", "clean_error", "clean_warn", "get_servo_angle", "get_joints_torque"}
    | {"set_state", "set_mode", "motion_enable", "set_collision_sensitivity"}
)


def _sdk(command_port: int) -> Any:
    """The SDK's class, silenced and with its command port; ImportError gives the pip line."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # importing it prints its version
            from xarm.core.config.x_config import XCONF
            from xarm.core.utils.log import logger, origin_logger
            from xarm.wrapper import XArmAPI
            from xarm.x3 import base, gripper, report
    except ImportError:
        raise ImportError(_PIP) from None
    for log in (logger, origin_logger):
        log.setLevel(logging.CRITICAL + 1)  # a line for each set point
    for module in (base, gripper, report):
        module.print = _say_nothing  # hides the builtin there: its threads print
    XCONF.SocketConf.TCP_CONTROL_PORT = command_port  # it has no argument for it
    return XArmAPI


def _made_within(timeout_s: float, make: Callable[[], Any]) -> Any:
    """What the SDK's constructor gives; TimeoutError if it takes too long. What nobody waits for is hung up."""
    made: Future[Any] = Future()

    def work() -> None:
        try:
            made.set_result(make())
        except Exception as error:  # is raised where it is waited for
            made.set_exception(error)

    threading.Thread(target=work, name="connecting", daemon=True).start()
    try:
        return made.result(timeout_s)
    except BaseException:  # it takes too long, or a person interrupts
        made.add_done_callback(_hung_up)
        raise


def _hung_up(made: Future[Any]) -> None:
    if made.exception() is None:
        made.result().disconnect()


def _say_nothing(*_: Any, **__: Any) -> None:
    """In the place of `print`."""


@contextlib.contextmanager
def connected(config: RealConfig) -> Iterator[Arm]:
    """An arm that is held and hung up on whatever happens."""
    arm = Arm(config)
    try:
        yield arm
    finally:
        arm.close()
