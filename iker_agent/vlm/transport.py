"""The way of one request to the server and back: it goes nowhere else, and what comes back is bounded.

    GuardedTransport(inner transport of the HTTP client)  ->  response that is read, unpacked and small, or VLMError

Redirects are never followed: a question with its pictures, and the key, go only to the address that the user named.
Bodies are read piece by piece and unpacked under a limit, so that neither an endless body nor a small one that unpacks
to gigabytes fills the memory. Only names that httpx and its successor httpx2 share are used.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import urlsplit

from iker_agent.plain_text import clean_line
from iker_agent.vlm.errors import VLMConfigurationError, VLMUnavailable

MAX_ANSWER_BYTES = 4 * 2**20  # of a body, packed and unpacked; a long reply is some 100 kB
_PIECE_BYTES = 2**16  # unpacked at a time
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS  # zlib finds out which of the two it is
_KEPT_HEADERS = ("content-type", "date", "retry-after", "ratelimit", "x-ratelimit", "anthropic-ratelimit")
_LIBRARY_HEADERS = "x-stainless-"  # in these the client library tells a server about this machine


class GuardedTransport:
    """Stands between the HTTP client and its transport; `new_response` makes the client's kind of response.

    `hide` takes secrets out of text.
    """

    def __init__(self, inner: Any, new_response: Callable[..., Any], hide: Callable[[str], str]) -> None:
        self.inner = inner
        self._new_response = new_response
        self._hide = hide

    def handle_request(self, request: Any) -> Any:
        """Send a request; VLMConfigurationError on a redirect, VLMUnavailable on a body that is too long."""
        for name in [n for n in request.headers if n.lower().startswith(_LIBRARY_HEADERS)]:
            del request.headers[name]
        request.headers["accept-encoding"] = "identity"
        response = self.inner.handle_request(request)
        try:
            if 300 <= response.status_code < 400:
                raise VLMConfigurationError(self._hide(_redirected(request.url, response)))
            body = _read(response, _origin(str(request.url)))
        finally:
            response.close()
        # The headers are chosen: a body that is unpacked has another length, and cookies must not come back.
        kept = [(n, v) for n, v in response.headers.items() if n.lower().startswith(_KEPT_HEADERS)]
        return self._new_response(response.status_code, headers=kept, content=body)

    def close(self) -> None:
        """Close all connections."""
        self.inner.close()

    def __enter__(self) -> GuardedTransport:
        self.inner.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self.inner.__exit__(*error)


def _redirected(url: Any, response: Any) -> str:
    here = _origin(str(url))
    there = _origin(str(response.headers.get("location", "")), here)
    place = "a path that was not named" if there == here else there or "no readable address"
    return (
        f"the server at {here} redirects to {place} (status {response.status_code}); nothing was sent there, "
        "since a question goes only to ask.base_url: if that is the right place, name it there"
    )


def _origin(url: str, default: str = "") -> str:
    """Scheme, host and port of an address, which hold no secret, or `default` where it is only a path."""
    try:
        parts = urlsplit(url)
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        port = f":{parts.port}" if parts.port else ""
    except ValueError:  # a port that is none, brackets that do not close
        return ""
    if not host:
        return default
    scheme = parts.scheme or default.split(":")[0]
    return clean_line(f"{scheme}://{host}{port}", 120)


def _read(response: Any, server: str) -> bytes:
    """The body, unpacked; VLMUnavailable if it is too long or cannot be unpacked."""
    coding = response.headers.get("content-encoding", "identity").strip().lower()
    body = bytearray()
    for piece in _unpacked(_limited(response.stream, server), coding, server):
        body += piece
        if len(body) > MAX_ANSWER_BYTES:
            raise _too_long(server)
    return bytes(body)


def _limited(pieces: Iterable[bytes], server: str) -> Iterator[bytes]:
    read = 0
    for piece in pieces:
        read += len(piece)
        if read > MAX_ANSWER_BYTES:
            raise _too_long(server)
        yield piece


def _too_long(server: str) -> VLMUnavailable:
    limit = f"{MAX_ANSWER_BYTES // 2**20} MiB"
    return VLMUnavailable(f"the answer of {server} is longer than {limit}, the limit for one; it was not read further")


def _unpacked(pieces: Iterable[bytes], coding: str, server: str) -> Iterator[bytes]:
    """The pieces of a body as they were before the server packed them, each at most 64 KiB if it did."""
    if coding in ("", "identity"):
        yield from pieces
        return
    if coding not in ("gzip", "x-gzip", "deflate"):
        raise VLMUnavailable(f"{server} packs its answer as {clean_line(coding, 40)!r}, which was not asked for")
    unpacker = zlib.decompressobj(_GZIP_OR_ZLIB)
    try:
        for piece in pieces:
            while piece and not unpacker.eof:
                yield unpacker.decompress(piece, _PIECE_BYTES)
                piece = unpacker.unconsumed_tail
        yield unpacker.flush(_PIECE_BYTES)
    except zlib.error:
        raise VLMUnavailable(f"the answer of {server} is packed as {coding} and cannot be unpacked") from None
