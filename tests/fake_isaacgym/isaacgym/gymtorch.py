"""Tensors of the double: real torch where FAKE_ISAACGYM_TORCH is set, else the little of it that the worker uses."""

import os

import numpy as np

from . import gymapi


class _Tensor:
    """As much of torch.Tensor as a worker needs, on numpy; loading torch costs seconds a process."""

    device = "cpu"

    def __init__(self, array):
        self._array = array
        self.shape = array.shape

    def cpu(self):
        return self

    def to(self, device):
        return self

    def numpy(self):
        return self._array


class _Torch:
    from_numpy = _Tensor


if os.environ.get("FAKE_ISAACGYM_TORCH"):
    import torch
else:
    torch = _Torch


def wrap_tensor(tensor):
    """The engine's memory as a tensor."""
    return torch.from_numpy(tensor.memory)


def unwrap_tensor(tensor):
    """A tensor's memory for the engine: an address, read when the engine simulates."""
    array = tensor.numpy()
    if not array.flags.c_contiguous or array.dtype not in (np.float32, np.int32):
        raise TypeError(f"tensors are contiguous float32 or int32, not {array.dtype}")
    return gymapi.Tensor.at(array)
