"""Which backend writes a run's programs: from the configuration to one VLM, and to the same VLM with a record.

    make_vlm(config, task)          ->  VLM
    recorded(config, vlm, folder)   ->  VLM that writes down what it is asked and what it answers
    told(vlm)                       ->  sentences for the user before the first question
    asking(vlm)                     ->  a context, after which those who answer know that nothing more is asked

A new backend is a class with `complete` (vlm/types.py), a name in vlm/settings.BACKENDS and a function in `_MAKERS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from iker_agent.config import RunConfig
from iker_agent.vlm.annotated import AnnotatedVLM
from iker_agent.vlm.files import FileBox
from iker_agent.vlm.openai_chat import OpenAIChat
from iker_agent.vlm.record import Recorder
from iker_agent.vlm.replay import Replay
from iker_agent.vlm.surroundings import addressed
from iker_agent.vlm.types import VLM
from iker_envs.task import Task

_SENT = ("model", "base_url", "temperature", "max_tokens", "token_param", "detail")  # what a server is asked with


def make_vlm(config: RunConfig, task: Task) -> VLM:
    """The backend that a run asks.

    ValueError if its settings or the environment variables do not suffice, or if the task has no annotated programs.
    """
    return _MAKERS[config.vlm](config, task)


def _openai(config: RunConfig, task: Task) -> VLM:
    return OpenAIChat(config.ask)


def _replay(config: RunConfig, task: Task) -> VLM:
    if not config.ask.cassette:
        raise ValueError("the backend replay needs a record; add --cassette RUN_FOLDER")
    return Replay(config.ask.cassette, config.ask.match)


def _annotated(config: RunConfig, task: Task) -> VLM:
    vlm = AnnotatedVLM.of_task(task, config.configuration, config.run.contract)
    if config.instruction and not vlm.knows(config.instruction):
        raise ValueError(
            f"no human wrote programs for {config.instruction!r}; leave the instruction out, or let a model write them:"
            " --vlm openai"
        )
    return vlm


def _files(config: RunConfig, task: Task) -> VLM:
    if not config.ask.box:
        raise ValueError("the backend files needs a folder to ask in; add --box FOLDER")
    if config.ask.max_total_tokens or config.ask.max_usd:
        raise ValueError("the backend files knows of no tokens; bound it by ask.max_calls")
    return FileBox(config.ask)


_MAKERS: dict[str, Callable[[RunConfig, Task], VLM]] = {
    "annotated": _annotated,
    "openai": _openai,
    "replay": _replay,
    "files": _files,
}


def recorded(config: RunConfig, inner: VLM, folder: Path) -> VLM:
    """The backend with everything that it is asked and answers written into a folder."""
    return Recorder(inner, folder, {"backend": config.vlm, **_sent(config)})


def _sent(config: RunConfig) -> dict[str, Any]:
    """The settings that a server is asked with, for the record."""
    if config.vlm == "files":
        return {"model": config.ask.model}
    if config.vlm != "openai":
        return {}
    settings = asdict(addressed(config.ask))
    return {name: settings[name] for name in _SENT}


def told(vlm: VLM) -> list[str]:
    """What a user should know before the first question: whom it goes to, and what is wrong with a record."""
    if isinstance(vlm, FileBox):
        return [f"asking in {vlm.folder}: a reply is read when it did not change for {vlm.settings.settle_s:g} s"]
    if isinstance(vlm, OpenAIChat):
        return [f"asking {vlm.settings.model} at {vlm.settings.base_url}"]
    return vlm.faults if isinstance(vlm, Replay) else []


@contextmanager
def asking(vlm: VLM) -> Iterator[VLM]:
    """Inside, the backend is asked; whoever waits at its box is told when that ends."""
    try:
        yield vlm
    finally:
        if isinstance(vlm, FileBox):
            vlm.close()
