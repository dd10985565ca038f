"""What a server complains about, and what that means for the one who asks.

    status, body, headers  ->  complaint  ->  Complaint, or None where the answer holds a reply
    Complaint              ->  explain    ->  VLMError in one sentence, of the kind that fits what can be done
                           ->  refused_parameter, wants_stream: what to change before asking again

Servers that speak chat completions agree on replies, not on errors: the same trouble comes as a status, as a body
under status 200, as a label of OpenAI, Azure, Google or Anthropic, as a list of FastAPI, or only in words.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from iker_agent.plain_text import clean_line
from iker_agent.vlm.error_bodies import labels_of, refused_names, text_of
from iker_agent.vlm.errors import VLMConfigurationError, VLMError, VLMRefused, VLMUnavailable
from iker_agent.vlm.settings import AskSettings
from iker_agent.vlm.waits import asked_wait_s

_FILTERED = {"content_filter", "content_policy_violation", "moderation_blocked", "responsibleaipolicyviolation"}
_FLAGGED = re.compile(r"moderation|flagged|content (management )?policy", re.IGNORECASE)
_SPENT = {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"}
_QUOTA = re.compile(r"\bquota\b|\bbilling\b|\binsufficient (balance|credits?|funds)\b|credit balance", re.IGNORECASE)
_SHORT_LIMIT = re.compile(r"per[ _-]?(min|sec)|/min\b|\b[RT]PM\b", re.IGNORECASE)
_LONG_LIMIT = re.compile(r"per[ _-]?(day|month)|\b[RT]PD\b|\bdaily\b|\bmonthly\b", re.IGNORECASE)
_TOO_LONG_LABELS = {"context_length_exceeded", "string_above_max_length"}
_TOO_LONG = re.compile(
    r"context (length|window|size)|prompt is too long|too many (input )?tokens|request (entity )?too large",
    re.IGNORECASE,
)
_BAD_KEY = re.compile(r"key (is )?(not valid|invalid|expired)|(invalid|incorrect) (api )?key", re.IGNORECASE)
_BLIND = re.compile(r"\bimages?\b|image_url|vision|multi-?modal|mmproj", re.IGNORECASE)
_NOT_TAKEN = re.compile(
    r"unsupported|not supported|does ?n[o']t support|unknown|unrecogni[sz]ed|unexpected|extra.(inputs|fields|forbidden)"
    r"|not permitted|deprecated",
    re.IGNORECASE,
)
_STREAM_ONLY = re.compile(
    r"\bstream(ing)?\b.{0,40}\b(only|must|required?|enabled?|true)\b|\b(only|must|enable)\b.{0,40}\bstream",
    re.IGNORECASE,
)
_STATUS_OF_LABEL = {
    **dict.fromkeys(("invalid_request_error", "invalid_argument", "context_length_exceeded", "content_filter"), 400),
    **dict.fromkeys(("invalid_api_key", "authentication_error", "unauthenticated", "api_key_invalid"), 401),
    **dict.fromkeys(("insufficient_balance", "payment_required", "billing_error"), 402),
    **dict.fromkeys(("permission_error", "permission_denied"), 403),
    **dict.fromkeys(("model_not_found", "not_found_error", "not_found"), 404),
    **dict.fromkeys(("rate_limit_error", "rate_limit_exceeded", "resource_exhausted", "insufficient_quota"), 429),
    **dict.fromkeys(("server_error", "api_error", "internal", "internal_server_error"), 500),
    **dict.fromkeys(("overloaded_error", "unavailable", "engine_overloaded", "timeout_error"), 503),
}
_PASSING = (0, 408, 409, 425, 429)  # 0: an error under status 200 that does not say which
_LASTING = (501, 505, 511)  # of the statuses from 500 on, which mostly pass
_OF_PARAMETERS = (400, 422)
_A_MINUTE_S = 60.0
_MAX_QUOTE = 200  # characters of a server's own words that are told
_MAX_READ = 4_000  # characters of them that are looked at


@dataclass(frozen=True)
class Complaint:
    """An error of a server: its HTTP status, or the one that it means, 0 if unknown; its labels and words.

    `words` are one short clean line to be told, `text` a longer one to be looked through, `body` the error as it came
    and `details` the beginning of it as text: Google names a quota there, and not in its message.
    """

    status: int
    labels: tuple[str, ...] = ()
    words: str = ""
    text: str = ""
    details: str = ""
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    under_200: bool = False

    @property
    def is_page(self) -> bool:
        """Is it a page for a person, as proxies send them, and not an answer of the server?"""
        return isinstance(self.body, str) and self.body.lstrip().startswith("<")

    @property
    def where(self) -> str:
        """The status as it is told."""
        return f"error {self.status} under status 200" if self.under_200 else f"status {self.status}"

    def has(self, labels: Collection[str]) -> bool:
        """Does it carry one of the labels?"""
        return not set(labels).isdisjoint(self.labels)


def complaint(status: int, body: Any, headers: Mapping[str, str], hide: Callable[[str], str]) -> Complaint | None:
    """What is wrong according to an answer; None if nothing is. `hide` takes secrets out of text."""
    error = body if status >= 400 else _error_under_200(body)
    if error is None:
        return None
    text = clean_line(hide(text_of(error)), _MAX_READ)
    words = clean_line(text, _MAX_QUOTE).rstrip(".") or "no reason is given"
    labels = labels_of(error)
    details = str(error)[:_MAX_READ]
    meant = status if status >= 400 else _meant(labels)
    return Complaint(meant, labels, words, text, details, error, headers, under_200=status < 400)


def _error_under_200(body: Any) -> Any:
    """The error in an answer that the server sent as a success."""
    if not isinstance(body, dict):
        return None
    if body.get("error"):
        return body
    choices = body.get("choices")
    if isinstance(choices, list) and choices:
        first = choices[0]
        return first if isinstance(first, dict) and first.get("error") else None
    feedback = body.get("promptFeedback")
    if isinstance(feedback, dict) and feedback.get("blockReason"):
        return {"code": "content_filter", "message": str(feedback["blockReason"])}
    return body if any(body.get(name) for name in ("errors", "detail", "message")) else None


def _meant(labels: tuple[str, ...]) -> int:
    """The status that labels stand for; the first of them, the code, is the most exact."""
    for label in labels:
        if re.fullmatch(r"[45]\d\d", label):
            return int(label)
        if label in _STATUS_OF_LABEL:
            return _STATUS_OF_LABEL[label]
    return 0


def explain(problem: Complaint, settings: AskSettings) -> VLMError:
    """Our error for a complaint."""
    p = problem
    wait_s = asked_wait_s(p.headers, p.body, p.text, limited=p.status == 429)
    if p.has(_FILTERED) or (p.status in (0, 400, 403) and _FLAGGED.search(p.text)):
        return VLMRefused(f"the server's filter does not let the request through: {p.words}")
    if p.status == 407 or (p.status in (401, 403) and p.is_page):
        return VLMConfigurationError(
            f"a proxy on the way to {settings.base_url} does not let the request through ({p.where}): {p.words}"
        )
    if p.status == 402:
        return VLMConfigurationError(
            f"the account of the key in {settings.key_env} has to be paid for ({p.where}): {p.words}"
        )
    if _quota_is_used_up(p, wait_s):
        return VLMConfigurationError(f"the quota of the key in {settings.key_env} is used up: {p.words}")
    if p.status == 413 or p.has(_TOO_LONG_LABELS) or (p.status in (0, 400, 429, 500) and _TOO_LONG.search(p.text)):
        return VLMConfigurationError(
            f"the question with a reply of ask.max_tokens is too long for {settings.model!r} ({p.where}): {p.words}"
        )
    if p.status in (401, 403) or (p.status in (0, 400) and _BAD_KEY.search(p.text)):
        return VLMConfigurationError(f"the server does not accept the key in {settings.key_env}: {p.words}")
    if p.status == 404 or p.has({"model_not_found"}):
        return VLMConfigurationError(_not_found(p, settings))
    if p.status in (400, 415, 422, 500) and _BLIND.search(p.words):
        return VLMConfigurationError(f"{settings.model!r} does not take the images: {p.words}")
    if p.status in _PASSING or (p.status >= 500 and p.status not in _LASTING):
        return _busy(p, wait_s, settings)
    return VLMConfigurationError(f"the server does not accept the request ({p.where}): {p.words}")


def _quota_is_used_up(p: Complaint, wait_s: float | None) -> bool:
    """Is it the quota of a day, a month or an account, and not only of a minute?"""
    said = f"{p.text} {p.details}"
    if p.has(_SPENT):
        return not _SHORT_LIMIT.search(said)
    if p.status not in (0, 400, 403, 429) or not _QUOTA.search(p.text):
        return False
    passes = wait_s is not None or _SHORT_LIMIT.search(said)
    return not passes or bool(_LONG_LIMIT.search(said))


def _not_found(p: Complaint, settings: AskSettings) -> str:
    if p.has({"model_not_found"}) or settings.model.lower() in p.text.lower():
        return f"no model {settings.model!r} at {settings.base_url}: {p.words}"
    return f"nothing at {settings.base_url}; most addresses end in /v1: {p.words}"


def _busy(p: Complaint, wait_s: float | None, settings: AskSettings) -> VLMUnavailable:
    if wait_s is None and p.status == 429 and _SHORT_LIMIT.search(p.text):
        wait_s = _A_MINUTE_S / max(settings.retries, 1)  # the attempts together see a limit per minute through
    asked = f" (and asks to wait {wait_s:.0f} s)" if wait_s else ""
    said = f"answers with {p.where}" if p.status else "reports an error"
    return VLMUnavailable(f"the server {said}{asked}: {p.words}", wait_s=wait_s)


def refused_parameter(problem: Complaint, sent: Collection[str]) -> str:
    """Which of the parameters that were sent the server says it does not take; "" if it is about something else."""
    p = problem
    if p.status not in _OF_PARAMETERS or not _NOT_TAKEN.search(" ".join((p.text, *p.labels))):
        return ""
    named = refused_names(p.body, _NOT_TAKEN)
    in_words = [name for name in sent if "_" in name or name == "temperature"]
    spoken = [name for name in in_words if re.search(rf"\b{name}\b", p.text)]
    return next((name for name in (*named, *spoken) if name in sent), "")


def wants_stream(problem: Complaint) -> bool:
    """Does the server say that it replies in streams only?"""
    return problem.status in (*_OF_PARAMETERS, 500) and bool(_STREAM_ONLY.search(problem.text))
