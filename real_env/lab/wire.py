"""Frames of the box's command port: bytes of a stream in, requests out; replies and feedback as bytes.

    stream  ->  read_request  ->  Request        reply(request, status, payload)  ->  bytes
                                                 feedback(request, ...)           ->  bytes

Request  u16 transaction | u16 protocol | u16 length | u8 register | payload, big endian. A reply puts a status byte
before its payload. Protocol 2 and 3 are the vendor's, 1 is a heartbeat without reply, 0 standard Modbus TCP, which the
lab refuses with a Modbus exception. Source: the vendor's private TCP protocol manual.
"""

from __future__ import annotations

import asyncio
import struct
from dataclasses import dataclass

PRIVATE = (2, 3)
HEARTBEAT = 1
MODBUS = 0
INVALID = 0x08  # status bit: the result is not valid, the command was not carried out
_FEEDBACK = 0xFF
_MOTION_FINISHED = 2  # type of feedback
_ILLEGAL_FUNCTION = 1
_HEADER = struct.Struct(">HHH")
MAX_LENGTH = 1024


@dataclass(frozen=True)
class Request:
    """One command of a host."""

    transaction: int
    protocol: int
    register: int
    payload: bytes


async def read_request(stream: asyncio.StreamReader) -> Request:
    """The next request; IncompleteReadError at the end of the stream, ValueError for what is no frame."""
    transaction, protocol, length = _HEADER.unpack(await stream.readexactly(_HEADER.size))
    if protocol not in (*PRIVATE, HEARTBEAT, MODBUS) or length > MAX_LENGTH:
        raise ValueError(f"no frame of a control box: protocol {protocol}, {length} bytes")
    body = await stream.readexactly(length)
    return Request(transaction, protocol, body[0] if body else 0, body[1:])


def reply(request: Request, status: int, payload: bytes) -> bytes:
    """The answer to a request."""
    head = _HEADER.pack(request.transaction, request.protocol, 2 + len(payload))
    return head + bytes([request.register, status]) + payload


def modbus_exception(request: Request) -> bytes:
    """Illegal function: the lab speaks no standard Modbus TCP."""
    function = request.payload[0] if request.payload else 0
    head = _HEADER.pack(request.transaction, request.protocol, 3)
    return head + bytes([request.register, (function | 0x80) & 0xFF, _ILLEGAL_FUNCTION])


def feedback(request: Request, status: int, ending: int, time_us: int) -> bytes:
    """Unasked news that the motion of an earlier request has ended."""
    body = bytes([_FEEDBACK, status, _MOTION_FINISHED, request.register]) + struct.pack(">HBQ", 0, ending, time_us)
    return _HEADER.pack(request.transaction, request.protocol, len(body)) + body
