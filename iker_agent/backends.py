"""Which backend writes a run's programs: from the configuration to one VLM.

make_vlm(config, task)  ->  VLM            recorded(config, vlm, folder)  ->  VLM that writes down what it is asked
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from iker_agent.config import RunConfig
from iker_agent.vlm.types import VLM
from iker_envs.task import Task

_SENT = ("model", "base_url", "temperature", "max_tokens", "token_param", "detail")


def make_vlm(config: RunConfig, task: Task) -> VLM:
    """The backend that a run asks; ValueError if its settings do not suffice or the task has no annotated programs."""
    if config.vlm == "openai":
        from iker_agent.vlm.openai_chat import OpenAIChat

        return OpenAIChat(config.ask)
    if config.vlm == "replay":
        from iker_agent.vlm.replay import Replay

        if not config.ask.cassette:
            raise ValueError("the backend replay needs a record; add --cassette RUN_FOLDER")
        return Replay(config.ask.cassette, config.ask.match)
    from iker_agent.vlm.annotated import AnnotatedVLM

    vlm = AnnotatedVLM.of_task(task, config.configuration, config.run.contract)
    if config.instruction and not vlm.knows(config.instruction):
        raise ValueError(
            f"no human wrote programs for {config.instruction!r}; leave the instruction out, or let a model write them:"
            " --vlm openai"
        )
    return vlm


def recorded(config: RunConfig, inner: VLM, folder: Path) -> VLM:
    """The backend with everything that it is asked and answers written into a folder."""
    from iker_agent.vlm.record import Recorder

    sent = asdict(config.ask)
    settings = {"backend": config.vlm, **({name: sent[name] for name in _SENT} if config.vlm == "openai" else {})}
    return Recorder(inner, folder, settings)
