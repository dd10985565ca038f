"""What a run may spend on its model, and what it has spent.

    Budget(inner, settings).complete(request)  ->  Reply, or BudgetSpent before the call that would be one too many

`spent` goes into run.json. Replies that cannot be used cost as much as others.
"""

from __future__ import annotations

from typing import Any

from iker_agent.vlm.errors import BudgetSpent, VLMConfigurationError, VLMError
from iker_agent.vlm.settings import AskSettings
from iker_agent.vlm.types import VLM, Reply, Request

_COUNTED = ("prompt_tokens", "completion_tokens")


class Budget:
    """Wraps a backend; counts calls, tokens and money, and stops at the limits of the settings."""

    def __init__(self, inner: VLM, settings: AskSettings) -> None:
        self.inner = inner
        self.settings = settings
        self.calls = 0
        self.tokens = dict.fromkeys(_COUNTED, 0.0)

    def complete(self, request: Request) -> Reply:
        """Pass on a request; BudgetSpent names the limit that is reached."""
        self._check()
        self.calls += 1
        try:
            reply = self.inner.complete(request)
        except VLMError as error:
            if error.reply is not None:
                self._count(error.reply)
            raise
        self._count(reply)
        return reply

    def _check(self) -> None:
        s = self.settings
        total = sum(self.tokens.values())
        if s.max_calls and self.calls >= s.max_calls:
            raise BudgetSpent(f"the budget of {s.max_calls} calls is used up (ask.max_calls)")
        if s.max_total_tokens and total >= s.max_total_tokens:
            raise BudgetSpent(
                f"the budget of {s.max_total_tokens} tokens is used up by {total:.0f} (ask.max_total_tokens)"
            )
        if s.max_usd and self.usd >= s.max_usd:
            raise BudgetSpent(f"the budget of {s.max_usd:g} USD is used up by {self.usd:.3f} (ask.max_usd)")

    def _count(self, reply: Reply) -> None:
        limited = self.settings.max_total_tokens or self.settings.max_usd
        if limited and any(name not in reply.usage for name in _COUNTED):
            raise VLMConfigurationError(
                "the server does not say how many tokens it used, so the budget cannot be kept; use ask.max_calls",
                reply,
            )
        for name in _COUNTED:
            self.tokens[name] += reply.usage.get(name, 0.0)

    @property
    def usd(self) -> float:
        """What was spent at the given prices."""
        s = self.settings
        prices = (s.usd_per_mtok_in, s.usd_per_mtok_out)
        return sum(p * n / 1e6 for p, n in zip(prices, self.tokens.values(), strict=True))

    @property
    def spent(self) -> dict[str, Any]:
        """Calls, tokens and money so far; money is None without prices."""
        priced = bool(self.settings.usd_per_mtok_in or self.settings.usd_per_mtok_out)
        tokens = {name: int(count) for name, count in self.tokens.items()}
        return {"calls": self.calls, **tokens, "usd": round(self.usd, 6) if priced else None}
