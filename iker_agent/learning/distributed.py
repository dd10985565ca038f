"""Several processes train one policy: `torchrun --nproc-per-node=N -m iker_agent train TASK`.

    joined_group()  ->  this process's rank, known to skrl; gradients and KL are then averaged by skrl itself

What lives on the CPU goes over gloo, what lives on CUDA devices over NCCL (ranks.py); skrl would open the group for
GPUs only, hence it is told of ours. Without torchrun everything here does nothing.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import distributed, nn

from iker_agent.learning import ranks


def num_processes() -> int:
    """How many processes train together."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def rank() -> int:
    """Number of this process, counted from 0; 0 is the one that writes."""
    return distributed.get_rank() if distributed.is_initialized() else 0


@contextmanager
def joined_group() -> Iterator[None]:
    """Inside, this process belongs to the group that torchrun started, if it did; skrl must not be imported before."""
    mine = ranks.this_rank()
    if mine.num_ranks == 1:
        yield
        return
    ranks.stay_on_this_machine(mine)
    device = ranks.take_device(mine)
    distributed.init_process_group(ranks.backend(device))
    _tell_skrl(mine.num_ranks, device)
    try:
        yield
    finally:
        distributed.destroy_process_group()


def leave(code: int) -> None:
    """End this process of a group with an exit code, once all have come so far.

    Python is not torn down: gloo's threads outlive the group, and one that then needs the interpreter aborts the
    process now and then.
    """
    distributed.barrier()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _tell_skrl(size: int, device: str) -> None:
    """skrl opens an NCCL group when it is imported under torchrun; it is imported as a single process instead."""
    os.environ["WORLD_SIZE"] = "1"
    try:
        from skrl import config
    finally:
        os.environ["WORLD_SIZE"] = str(size)
    config.torch._world_size = size
    config.torch._rank = distributed.get_rank()
    config.torch._is_distributed = True
    config.torch.device = device


def threads_per_process() -> int:
    """Physics threads of each process of this machine; 0, all cores, for a process that is alone."""
    local = int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if num_processes() > 1 else 1
    return max(1, (os.cpu_count() or 1) // local) if local > 1 else 0


def agreed(flag: bool) -> bool:
    """The flag of process 0, in all processes: clocks differ, and all must stop together."""
    if num_processes() == 1:
        return flag
    tensor = torch.tensor([int(flag)])
    distributed.broadcast(tensor, 0)
    return bool(tensor)


def average_buffers(*modules: nn.Module) -> None:
    """Give all processes the mean of their running statistics."""
    if num_processes() == 1:
        return
    for buffer in (b for module in modules for b in module.buffers()):
        distributed.all_reduce(buffer)
        buffer /= num_processes()


def check_equal(module: nn.Module) -> None:
    """RuntimeError if the processes do not hold the same parameters."""
    if num_processes() == 1:
        return
    mine = torch.cat([p.detach().flatten() for p in module.parameters()])
    first = mine.clone()
    distributed.broadcast(first, 0)
    if not torch.equal(mine, first):
        raise RuntimeError(f"process {rank()} holds other parameters than process 0")
