"""Where a process of a training stands, as torchrun tells by environment variables: its number, network and device.

    environment variables    ->  this_rank    ->  Rank
    Rank, CUDA devices here  ->  Rank.device  ->  "cuda:1" or "cpu"

A group of one machine talks over loopback only. torch is loaded where a device is taken, not before.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass

_NAMES = {"rank": "RANK", "local_rank": "LOCAL_RANK", "num_ranks": "WORLD_SIZE", "num_local_ranks": "LOCAL_WORLD_SIZE"}
_INTERFACES = ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")  # what gloo and NCCL read; else they ask for the host's name
_LOOPBACK = ("lo", "lo0")  # its interface on Linux and on macOS


@dataclass(frozen=True)
class Rank:
    """One process of those that train together; ValueError for numbers that contradict each other."""

    rank: int = 0  # of all processes, counted from 0
    local_rank: int = 0  # of those of this machine, counted from 0
    num_ranks: int = 1
    num_local_ranks: int = 1

    def __post_init__(self) -> None:
        for number, count in (("rank", "num_ranks"), ("local_rank", "num_local_ranks")):
            if not 0 <= getattr(self, number) < getattr(self, count):
                raise ValueError(
                    f"{_NAMES[number]}={getattr(self, number)} is not one of {_NAMES[count]}={getattr(self, count)} "
                    "processes; start them with torchrun, or clear these variables"
                )

    @property
    def is_local(self) -> bool:
        """Do all processes run on this machine?"""
        return self.num_ranks == self.num_local_ranks

    def device(self, num_cuda: int) -> str:
        """The device of this process where there are `num_cuda` CUDA devices: "cuda:LOCAL_RANK", or "cpu".

        Processes for which the devices do not suffice stay on the CPU, all of them.
        """
        return f"cuda:{self.local_rank}" if self.num_local_ranks <= num_cuda else "cpu"


def this_rank(environment: Mapping[str, str] = os.environ) -> Rank:
    """What torchrun says about this process; a process that it did not start is alone."""
    found = {field: environment[name] for field, name in _NAMES.items() if environment.get(name)}
    for field, text in found.items():
        if not text.strip().isdecimal():
            raise ValueError(f"{_NAMES[field]} is a whole number that torchrun sets, not {text!r}")
    return Rank(**{field: int(text) for field, text in found.items()})


def stay_on_this_machine(rank: Rank, environment: MutableMapping[str, str] = os.environ) -> None:
    """Make a group of one machine talk over loopback; what the user has set stays, as do groups of many machines."""
    own = [name for _, name in socket.if_nameindex() if name in _LOOPBACK]
    if rank.is_local and own:
        for variable in _INTERFACES:
            environment.setdefault(variable, own[0])


def take_device(rank: Rank) -> str:
    """Make this process's own CUDA device the one that is meant by "cuda"; its name, or "cpu" where there is none."""
    import torch

    device = rank.device(torch.cuda.device_count())
    if device != "cpu":
        torch.cuda.set_device(device)
    return device


def backend(device: str) -> str:
    """What torch.distributed carries tensors with: gloo those of the CPU, NCCL those of CUDA devices."""
    return "gloo" if device == "cpu" else "cpu:gloo,cuda:nccl"
