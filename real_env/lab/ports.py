"""Digital and analog ports of the control box and of the tool: nothing is wired to them.

Inputs read 0, outputs keep what was written to them.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

BAUD_2M = 11  # index of 2 Mbit/s in the vendor's list of rates
_NUM_FUNCTIONS = 16


@dataclass
class Ports:
    """What was written to the outputs, and how the ports are configured."""

    tool: int = 0  # bits of the tool's outputs
    baud: int = BAUD_2M  # of the tool's RS-485 line
    low: int = 0  # bits of the box's outputs 0 to 7
    high: int = 0  # 8 to 15
    analog: list[int] = field(default_factory=lambda: [0, 0])  # 12 bits
    input_functions: list[int] = field(default_factory=lambda: [0] * _NUM_FUNCTIONS)
    output_functions: list[int] = field(default_factory=lambda: [0] * _NUM_FUNCTIONS)

    @property
    def outputs(self) -> int:
        return self.low | self.high << 8

    def box_state(self) -> bytes:
        """The box's ports (50 bytes) as its state register and its report give them."""
        words = (0, 0, self.outputs, self.outputs, 0, 0, *self.analog)
        inputs = bytes(self.input_functions)
        outputs = bytes(self.output_functions)
        return bytes(2) + struct.pack(">8H", *words) + inputs[:8] + outputs[:8] + inputs[8:] + outputs[8:]


def written(before: int, word: int) -> int:
    """Outputs after a write: the high byte of `word` says which bits are meant, the low byte what they become."""
    mask = word >> 8 & 0xFF
    return (before & ~mask & 0xFF) | (word & mask)
