"""Settings of the backends: where a model is, how it is asked, what it may cost, which record is replayed."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

BACKENDS = ("annotated", "openai", "replay")

TOKEN_PARAMETERS = ("auto", "max_tokens", "max_completion_tokens")
MATCHES = ("exact", "text", "order")


@dataclass(frozen=True)
class AskSettings:
    """How a model is asked; the key itself is in no setting, only the environment variable that holds it."""

    model: str = ""  # no default: models come and go, the user names one and the record keeps it
    base_url: str = "https://api.openai.com/v1"  # of any server that speaks chat completions
    key_env: str = "OPENAI_API_KEY"  # name of the environment variable with the key
    temperature: float = 0.0
    max_tokens: int = 4096  # of one reply
    token_param: str = "auto"  # or max_tokens, max_completion_tokens: servers differ
    detail: str = "high"  # of images: auto, low, high
    timeout_s: float = 120.0  # of one call
    retries: int = 2  # of one call, when the server is busy or the connection breaks
    max_calls: int = 60  # budget of the run; 0 for no limit
    max_total_tokens: int = 0  # budget of the run; 0 for no limit
    max_usd: float = 0.0  # budget of the run; 0 for no limit
    usd_per_mtok_in: float = 0.0  # price of a million prompt tokens
    usd_per_mtok_out: float = 0.0  # price of a million completion tokens
    cassette: str = ""  # the record that the backend `replay` answers from: a run folder
    match: str = "text"  # replay: exact (pixels too), text (images may differ), order (anything goes)

    def __post_init__(self) -> None:
        for name, known in (("token_param", TOKEN_PARAMETERS), ("match", MATCHES)):
            if getattr(self, name) not in known:
                raise ValueError(f"ask.{name} {getattr(self, name)!r} is unknown; known: {', '.join(known)}")
        self._check_address()
        for name in ("max_tokens", "timeout_s"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"ask.{name} must be positive, not {getattr(self, name)!r}")
        if not math.isfinite(self.temperature):
            raise ValueError(f"ask.temperature must be a finite number, not {self.temperature!r}")
        for name in ("retries", "max_calls", "max_total_tokens", "max_usd", "usd_per_mtok_in", "usd_per_mtok_out"):
            if getattr(self, name) < 0:
                raise ValueError(f"ask.{name} cannot be negative, not {getattr(self, name)!r}")
        if self.max_usd and not (self.usd_per_mtok_in or self.usd_per_mtok_out):
            raise ValueError("ask.max_usd needs the prices ask.usd_per_mtok_in and ask.usd_per_mtok_out")

    def _check_address(self) -> None:
        """Nothing secret may enter the settings, since every run writes them down."""
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", self.key_env):
            raise ValueError("ask.key_env is the name of the environment variable that holds the key, not the key")
        if "@" in self.base_url or "?" in self.base_url:
            raise ValueError("ask.base_url holds a user name, a password or a query; put the key into ask.key_env")
        try:
            address = urlsplit(self.base_url)
            good = address.scheme in ("http", "https") and address.port != 0 and address.hostname.encode("idna")
        except (ValueError, AttributeError):  # a port that is none, brackets that do not close, no host
            good = False
        if not good or not self.base_url.isprintable() or " " in self.base_url:
            raise ValueError(f"ask.base_url {self.base_url!r} is no address; one is http://127.0.0.1:8000/v1")
