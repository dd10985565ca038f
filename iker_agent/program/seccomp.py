"""The system call filter of Linux, through ctypes alone: no library, no privileges.

In: nothing. Out: whether the kernel took the filter. Afterwards the process can compute, use memory, read and write
what is open already, and end; every other system call answers EPERM: no file, socket, process, thread or signal to
others. A classic BPF program, see man 2 seccomp and linux/filter.h; x86_64 and aarch64.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys

_COLUMNS = {"x86_64": 0, "aarch64": 1}
_AUDIT_ARCH = (0xC000003E, 0xC00000B7)  # linux/audit.h
_SECCOMP = (317, 277)
_TGKILL = (234, 131)
# System call numbers: x86_64 from asm/unistd_64.h, aarch64 from asm-generic/unistd.h.
_ALLOWED = {
    "read": (0, 63),
    "write": (1, 64),
    "close": (3, 57),
    "fstat": (5, 80),
    "lseek": (8, 62),
    "mmap": (9, 222),
    "mprotect": (10, 226),
    "munmap": (11, 215),
    "brk": (12, 214),
    "mremap": (25, 216),
    "madvise": (28, 233),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "sigaltstack": (131, 132),
    "sched_yield": (24, 124),
    "sched_getaffinity": (204, 123),
    "getpid": (39, 172),
    "gettid": (186, 178),
    "getrusage": (98, 165),
    "futex": (202, 98),
    "clock_gettime": (228, 113),
    "clock_nanosleep": (230, 115),
    "gettimeofday": (96, 169),
    "getrandom": (318, 278),
    "exit": (60, 93),
    "exit_group": (231, 94),
}
_X32_BIT = 0x40000000

# Instruction codes: linux/bpf_common.h; return values: linux/seccomp.h.
_LOAD = 0x20
_JUMP_EQUAL = 0x15
_JUMP_GREATER_EQUAL = 0x35
_RETURN = 0x06
_KILL = 0x80000000
_ALLOW = 0x7FFF0000
_DENY = 0x00050000 | errno.EPERM
# Offsets in struct seccomp_data, bytes.
_AT_NUMBER = 0
_AT_ARCH = 4
_AT_FIRST_ARGUMENT = 16

_PR_SET_NO_NEW_PRIVS = 38
_SET_MODE_FILTER = 1
_FLAG_TSYNC = 1


class _FilterProgram(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p)]


def install_filter() -> bool:
    """Puts the filter on all threads of this process; False where there is none or the kernel refuses."""
    column = _COLUMNS.get(platform.machine())
    if sys.platform != "linux" or column is None or struct.calcsize("P") != 8:
        return False
    code = b"".join(_instructions(column))
    buffer = ctypes.create_string_buffer(code, len(code))
    program = _FilterProgram(len(code) // 8, ctypes.cast(buffer, ctypes.c_void_p))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return False
    number = ctypes.c_long(_SECCOMP[column])
    return libc.syscall(number, _SET_MODE_FILTER, _FLAG_TSYNC, ctypes.byref(program)) == 0


def _instructions(column: int) -> list[bytes]:
    program = [
        _instruction(_LOAD, _AT_ARCH),
        _instruction(_JUMP_EQUAL, _AUDIT_ARCH[column], 1, 0),
        _instruction(_RETURN, _KILL),
        _instruction(_LOAD, _AT_NUMBER),
    ]
    if column == 0:  # the x32 variant of x86_64 has numbers of its own
        program += [_instruction(_JUMP_GREATER_EQUAL, _X32_BIT, 0, 1), _instruction(_RETURN, _KILL)]
    for numbers in _ALLOWED.values():
        program += [_instruction(_JUMP_EQUAL, numbers[column], 0, 1), _instruction(_RETURN, _ALLOW)]
    return [
        *program,
        # A signal to itself, and to nobody else: that is how SIGXCPU ends the process.
        _instruction(_JUMP_EQUAL, _TGKILL[column], 0, 3),
        _instruction(_LOAD, _AT_FIRST_ARGUMENT),
        _instruction(_JUMP_EQUAL, os.getpid(), 0, 1),
        _instruction(_RETURN, _ALLOW),
        _instruction(_RETURN, _DENY),
    ]


def _instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("HBBI", code, if_true, if_false, value)
