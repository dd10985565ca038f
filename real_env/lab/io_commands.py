"""Commands to what hangs on the box: the gripper's RS-485 line, digital and analog ports of tool and box, servos."""

from __future__ import annotations

import struct

from real_env.lab.box import ControlBox
from real_env.lab.commands import Refused, Sender, byte, command, floats, u16
from real_env.lab.ports import written

_TOOL_LINE = 9  # host id of the RS-485 line at the tool
_ADDRESS_BAUD = 0x0A0B
_ADDRESS_NEW_BAUD = 0x1A0B
_ADDRESS_TOOL_OUTPUTS = 0x0A15
_NUM_RATES = 13
_MAX_OUTPUT = 0x0FFF


@command(124)
def rs485(box: ControlBox, payload: bytes, sender: Sender) -> bytes:
    """A Modbus RTU frame without checksum for the tool's line; nobody else but the gripper is on it."""
    if byte(payload) != _TOOL_LINE:
        raise Refused(payload[:1])
    answer = box.gripper.request(payload[1:])
    if not answer:
        raise Refused(payload[:1])
    return payload[:1] + answer


@command(123, 240)
def set_line_timeout(box: ControlBox, payload: bytes, sender: Sender) -> bytes:
    u16(payload)
    return b""


@command(125)
def get_line_error(box: ControlBox, payload: bytes, sender: Sender) -> bytes:
    return bytes([0, box.gripper.error & 0xFF])


@command(127)
def write_tool(box: ControlBox, payload: bytes, sender: Sender) -> bytes:
    """A register of the tool's board: outputs or the line's rate; others are accepted and kept by nobody."""
    address = u16(payload, 1)
    value = int(floats(payload, 1, 3)[0])
    if address == _ADDRESS_TOOL_OUTPUTS:
        box.ports.tool = written(box.ports.tool, value)
    elif address == _ADDRESS_NEW_BAUD:
        if not 0 <= value < _NUM_RATES:
            raise Refused
        box.ports.baud = value
    return b""


@command(128)
def read_tool(box: ControlBox, payload: bytes, sender: Sender) -> bytes:
    known = {_ADDRESS_BAUD: box.ports.baud, _ADDRESS_TOOL_OUTPUTS: box.ports.tool}
    return struct.pack(">i", known.get(u16(payload, 1), 0))


@command(131)
def read_inputs(box: ControlBox, payload: bytes, sender: Sender) -> bytes:
    return bytes(2)


@command(132, 133)
def read_analog(box: ControlBox, payload: bytes, sender: Sender) -> bytes:
    return bytes(2)


@command(134)
def write_outputs(box: ControlBox, payload: bytes, sender: Sender) -> bytes:
    box.ports.low = written(box.ports.low, u16(payload))
    if len(payload) >= 4:
        box.ports.high = written(box.ports.high, u16(payload, 2))
    return b""


@command(135)
def write_analog_1(box: ControlBox, payload: bytes, sender: Sender) -> bytes:
    box.ports.analog[0] = min(u16(payload), _MAX_OUTPUT)
    return b""


@command(136)
def write_analog_2(box: ControlBox, payload: bytes, sender: Sender) -> bytes:
    box.ports.analog[1] = min(u16(payload), _MAX_OUTPUT)
    return b""


@command(137)
def set_input_function(box: ControlBox, payload: bytes, sender: Sender) -> bytes:
    _set_function(box.ports.input_functions, payload)
    return b""


@command(138)
def set_output_function(box: ControlBox, payload: bytes, sender: Sender) -> bytes:
    _set_function(box.ports.output_functions, payload)
    return b""


def _set_function(functions: list[int], payload: bytes) -> None:
    if byte(payload) >= len(functions):
        raise Refused
    functions[payload[0]] = byte(payload, 1)


@command(139)
def get_ports(box: ControlBox, payload: bytes, sender: Sender) -> bytes:
    return box.ports.box_state()


@command(142, 143, 144, 145, 147)
def write_later(box: ControlBox, payload: bytes, sender: Sender) -> bytes:
    """An output after a delay or at a place: nothing is wired to it, and the lab does not watch for it."""
    raise Refused


@command(146)
def reset_ports_on_stop(box: ControlBox, payload: bytes, sender: Sender) -> bytes:
    byte(payload, 1)
    return b""


@command(101, 103)
def write_servo(box: ControlBox, payload: bytes, sender: Sender) -> bytes:
    """Registers of the joints' own controllers are not modelled."""
    raise Refused


@command(102, 104, 107, 130)
def read_servo(box: ControlBox, payload: bytes, sender: Sender) -> bytes:
    """Registers of the joints' own controllers: 0, no error."""
    return bytes(4)
