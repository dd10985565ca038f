"""The process gives up its powers: resource limits, then (Linux) the system call filter.

In: what the program may use of time and memory. Out: the names of the layers that are in force, tried and not
assumed. Nothing here can be taken back; it is called in the child only, when everything needed is loaded and open.
"""

from __future__ import annotations

import errno
import os
import sys

from .seccomp import install_filter

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]


def lock_down(cpu_s: int, memory_mb: int) -> list[str]:
    """Limits processor time to `cpu_s` seconds and memory to `memory_mb` MB beyond what is in use now."""
    layers = []
    if resource is not None and _set_limits(cpu_s, memory_mb):
        layers.append("rlimit")
    if install_filter() and _opening_is_forbidden():
        layers.append("seccomp")
    return layers


def _set_limits(cpu_s: int, memory_mb: int) -> bool:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    cpu = round(usage.ru_utime + usage.ru_stime) + cpu_s
    limits = [
        # SIGXCPU at the soft limit ends the process and tells why; SIGKILL at the hard one does it for certain.
        (resource.RLIMIT_CPU, cpu, cpu + 1),
        (resource.RLIMIT_FSIZE, 0, 0),
        (resource.RLIMIT_CORE, 0, 0),
        (resource.RLIMIT_NPROC, 0, 0),  # no effect for root
    ]
    if sys.platform == "linux":  # elsewhere it is not enforced, or the size in use is not known
        size = _address_space_bytes() + memory_mb * 2**20
        limits.append((resource.RLIMIT_AS, size, size))
    limits.append((resource.RLIMIT_NOFILE, 0, 0))  # last: what is open stays open, nothing more can be
    return all([_limit(which, soft, hard) for which, soft, hard in limits])


def _limit(which: int, soft: int, hard: int) -> bool:
    ceiling = resource.getrlimit(which)[1]
    if ceiling != resource.RLIM_INFINITY:
        soft = min(soft, ceiling)
        hard = min(hard, ceiling)
    try:
        resource.setrlimit(which, (soft, hard))
    except (ValueError, OSError):
        return False
    return True


def _address_space_bytes() -> int:
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[0]) * resource.getpagesize()


def _opening_is_forbidden() -> bool:
    """Whether the filter, and not the limit on descriptors, answers an attempt to open a file."""
    try:
        os.open(os.devnull, os.O_RDONLY)
    except OSError as error:
        return error.errno == errno.EPERM
    return False
