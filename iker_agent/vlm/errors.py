"""Why a backend gave no usable reply: one class per thing that can be done about it.

`kind` is the name in records and reports. `Unanswered` ends a run at once, since asking again would not help;
`Unusable` is a reply that came but cannot be used, and counts as an answer: the model is told why and asked again.
"""

from __future__ import annotations

from typing import ClassVar

from iker_agent.vlm.types import Reply


class VLMError(Exception):
    """One sentence without a full stop, and the reply if there was one."""

    kind: ClassVar[str] = "error"

    def __init__(self, message: str, reply: Reply | None = None) -> None:
        super().__init__(message)
        self.reply = reply


class Unanswered(VLMError):
    """No reply, and none to be had by asking again in the same way."""


class VLMUnavailable(Unanswered):
    """The server cannot be reached or does not answer properly; later it may.

    `wait_s` is how long the server asks to wait, if it says so.
    """

    kind = "unavailable"

    def __init__(self, message: str, reply: Reply | None = None, wait_s: float | None = None) -> None:
        super().__init__(message, reply)
        self.wait_s = wait_s


class VLMConfigurationError(Unanswered):
    """Key, model, address, quota or a parameter is wrong; the user has to change it."""

    kind = "configuration"


class VLMRefused(Unanswered):
    """The model, or a filter before it, declines to answer."""

    kind = "refused"


class BudgetSpent(Unanswered):
    """The run's budget of calls, tokens or money is used up."""

    kind = "budget"


class ReplayMiss(Unanswered):
    """A record holds no answer to this request."""

    kind = "replay"


class Unusable(VLMError):
    """A reply came, but there is nothing in it to work with; the model is told and asked again."""


class VLMTruncated(Unusable):
    """The reply was cut at the token limit."""

    kind = "truncated"


class VLMEmpty(Unusable):
    """The reply has no text."""

    kind = "empty"


ERRORS: dict[str, type[VLMError]] = {
    e.kind: e
    for e in (
        *(VLMUnavailable, VLMConfigurationError, VLMRefused, BudgetSpent, ReplayMiss),
        *(VLMTruncated, VLMEmpty),
    )
}
