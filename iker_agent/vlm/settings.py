"""Settings of the backends: where a model is, how it is asked, what it may cost, which record is replayed."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from iker_agent.limits import check_choice

BACKENDS = ("annotated", "openai", "replay", "files")
OPENAI_ADDRESS = "https://api.openai.com/v1"
TOKEN_PARAMETERS = ("auto", "max_tokens", "max_completion_tokens")
MATCHES = ("exact", "text", "instruction", "order")
_MAX_TIMEOUT_S = 86_400  # clocks of the system take no more than some years
_ENDPOINT = "/chat/completions"


@dataclass(frozen=True)
class AskSettings:
    """How a model is asked; the key itself is in no setting, only the environment variable that holds it."""

    model: str = ""  # no default: models come and go, the user names one and the record keeps it
    base_url: str = ""  # of any server that speaks chat completions; empty: OPENAI_BASE_URL, or else OpenAI's own
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
    cassette: str = ""  # the record that the backend `replay` answers from: a run folder, or a shipped one's name
    box: str = ""  # the folder in which the backend `files` asks and is answered
    wait_s: float = 3600.0  # files: how long an answer is waited for
    settle_s: float = 1.0  # files: a reply is whole when it did not change for so long; 0 if all who answer rename
    match: str = "text"  # replay: exact (pixels too), text (images may differ), instruction, order (anything goes)

    def __post_init__(self) -> None:
        for name, known in (("token_param", TOKEN_PARAMETERS), ("match", MATCHES)):
            check_choice(f"ask.{name}", getattr(self, name), known)
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", self.key_env):
            raise ValueError("ask.key_env is the name of the environment variable that holds the key, not the key")
        if self.base_url:
            check_address(self.base_url, "ask.base_url")
        for name in ("max_tokens", "timeout_s", "wait_s"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"ask.{name} must be positive, not {getattr(self, name)!r}")
        for name in ("timeout_s", "wait_s", "settle_s"):
            if getattr(self, name) > _MAX_TIMEOUT_S:
                raise ValueError(f"ask.{name} is at most {_MAX_TIMEOUT_S} s, a day, not {getattr(self, name)!r}")
        if not math.isfinite(self.temperature):
            raise ValueError(f"ask.temperature must be a finite number, not {self.temperature!r}")
        limits = ("retries", "max_calls", "max_total_tokens", "max_usd", "usd_per_mtok_in", "usd_per_mtok_out")
        for name in (*limits, "settle_s"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"ask.{name} cannot be negative or without end, not {getattr(self, name)!r}")
        if self.max_usd and not (self.usd_per_mtok_in or self.usd_per_mtok_out):
            raise ValueError("ask.max_usd needs the prices ask.usd_per_mtok_in and ask.usd_per_mtok_out")


def check_address(address: str, name: str) -> None:
    """ValueError unless it is the address of a server; `name` is the setting or variable that holds it.

    Nothing secret may be in it, since every run writes it down.
    """
    if "@" in address or "?" in address:
        raise ValueError(f"{name} holds a user name, a password or a query; put the key into a variable (ask.key_env)")
    try:
        parts = urlsplit(address)
        good = parts.scheme in ("http", "https") and parts.port != 0 and (parts.hostname or "").encode("idna")
    except ValueError:  # a port that is none, brackets that do not close, a host that is no name
        good = False
    if not good or not address.isprintable() or " " in address or "#" in address:
        raise ValueError(
            f"{name} {address!r} is no address; one begins with http:// or https://, like http://127.0.0.1:8000/v1"
        )
    if parts.path.rstrip("/").endswith(_ENDPOINT):
        shorter = address.rstrip("/").removesuffix(_ENDPOINT)
        raise ValueError(f"{name} {address!r} ends in {_ENDPOINT}, which is added to it; use {shorter!r}")
