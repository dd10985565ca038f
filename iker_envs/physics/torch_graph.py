"""A function of CUDA tensors as one graph of kernels: a tick's hundreds of small ones are launched at once.

    function, first arguments  ->  recorded  ->  the same function, for arguments of the same shapes

The function neither looks at numbers nor keeps any: what it is recorded with does not matter, only shapes and types do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import is_dataclass, replace
from typing import Any

import torch

_WARM_UP = 2  # runs before it is recorded: they load kernels and make constants


class TorchGraph:
    """Calls a function by replaying what was recorded at the first call; arguments and results are its own copies.

    Arguments and results are tensors, and tuples, mappings and dataclasses of them.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._graph: torch.cuda.CUDAGraph | None = None
        self._given: list[torch.Tensor] = []
        self._found: Any = None

    def __call__(self, *arguments: Any) -> Any:
        """The results, fresh tensors."""
        tensors = leaves(arguments)
        graph = self._graph or self._recorded(arguments, tensors)
        for mine, given in zip(self._given, tensors, strict=True):
            mine.copy_(given)
        graph.replay()
        return mapped(torch.clone, self._found)

    def _recorded(self, arguments: tuple[Any, ...], tensors: list[torch.Tensor]) -> torch.cuda.CUDAGraph:
        self._given = [tensor.clone() for tensor in tensors]
        mine = iter(self._given)
        arguments = mapped(lambda _: next(mine), arguments)
        device = tensors[0].device
        stream = torch.cuda.Stream(device)
        stream.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(stream):
            for _ in range(_WARM_UP):
                self._function(*arguments)
        torch.cuda.current_stream(device).wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=stream):
            self._found = self._function(*arguments)
        self._graph = graph
        return graph


def mapped(function: Callable[[torch.Tensor], Any], value: Any) -> Any:
    """The same tuples, mappings and dataclasses with what a function makes of their tensors, in their order."""
    if isinstance(value, tuple):
        return tuple(mapped(function, part) for part in value)
    if isinstance(value, dict):
        return {name: mapped(function, part) for name, part in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{name: mapped(function, part) for name, part in vars(value).items()})
    return function(value)


def leaves(value: Any) -> list[torch.Tensor]:
    """The tensors in tuples, mappings and dataclasses, in their order."""
    found: list[torch.Tensor] = []
    mapped(found.append, value)
    return found
