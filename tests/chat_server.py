"""A chat-completions server on 127.0.0.1 that plays a script: one step per request, the last one for ever.

with ChatServer(good("..."), status(500)) as server:  server.url, server.requests
"""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

Step = Callable[[BaseHTTPRequestHandler], None]


class ChatServer:
    """Plays the steps; `requests` keeps the JSON bodies, `headers` the headers by their names in lower case.

    `connections` counts them, `sent_bytes` those of the steps `endless` and `packed`. With the files of a `certificate`
    and its key it speaks https.
    """

    def __init__(self, *steps: Step, certificate: tuple[Path, Path] | None = None) -> None:
        self.steps = list(steps)
        self.requests = []
        self.headers = []
        self.connections = 0
        self.sent_bytes = 0
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def setup(self) -> None:
                super().setup()
                owner.connections += 1
                self.owner = owner

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                owner.requests.append(json.loads(body or "null"))
                owner.headers.append({name.lower(): value for name, value in self.headers.items()})
                step = owner.steps.pop(0) if len(owner.steps) > 1 else owner.steps[0]
                step(self)

            do_GET = do_POST
            do_CONNECT = do_POST

            def log_message(self, *arguments: Any) -> None:
                """Nothing on the screen."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        scheme = "http" if certificate is None else "https"
        self.url = f"{scheme}://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> ChatServer:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def _send(handler: BaseHTTPRequestHandler, code: int, body: str, kind: str, headers: dict[str, str]) -> None:
    content = body.encode()
    if "Date" in headers:
        handler.send_response_only(code)
    else:
        handler.send_response(code)
    for name, value in {"Content-Type": kind, "Content-Length": str(len(content)), **headers}.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(content)


def answer(body: Any, code: int = 200, **headers: str) -> Step:
    """Any JSON body."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda handler: _send(handler, code, json.dumps(body), "application/json", named)


def completion(content: Any, finish: str = "stop", **message: Any) -> dict[str, Any]:
    """A whole chat completion."""
    choice = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": content, **message}}
    usage = {"prompt_tokens": 1200, "completion_tokens": 300, "total_tokens": 1500}
    return {
        "id": "c1",
        "object": "chat.completion",
        "created": 1,
        "model": "served-1",
        "choices": [choice],
        "usage": usage,
    }


def good(content: str) -> Step:
    """A proper reply."""
    return answer(completion(content))


def failure(
    code: int, message: str, *, error_code: str | None = None, param: str | None = None, **headers: str
) -> Step:
    """An error in OpenAI's form."""
    error = {"message": message, "type": "error", "code": error_code, "param": param}
    return answer({"error": error}, code, **headers)


def error(message: str, status: int = 200, **fields) -> Step:
    """An error with any fields, under any status."""
    return answer({"error": {"message": message, **fields}}, status)


def google(message: str, *details: dict, status: str = "RESOURCE_EXHAUSTED", code: int = 429) -> Step:
    """An error in Google's form."""
    return answer([{"error": {"code": code, "message": message, "status": status, "details": list(details)}}], code)


def retry_info(delay: str) -> dict:
    """Google's way to say when."""
    return {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}


def quota(name: str) -> dict:
    """Google's way to say which."""
    return {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": name}]}


def fastapi(name: str, kind: str = "extra_forbidden", message: str = "Extra inputs are not permitted") -> Step:
    """An error in FastAPI's form, which quotes what was sent."""
    return answer({"detail": [{"type": kind, "loc": ["body", name], "msg": message, "input": {"code": 402}}]}, 422)


PAGE = "<!DOCTYPE html><html><head><title>403 Forbidden</title><style>a{}</style></head><body>nginx</body></html>"


def html(code: int, text: str = PAGE) -> Step:
    """A page for a person."""
    return lambda handler: _send(handler, code, text, "text/html", {})


def page(code: int = 200) -> Step:
    """What a proxy or a wrong address sends."""
    return lambda handler: _send(handler, code, "<html><body><h1>Welcome</h1></body></html>", "text/html", {})


def broken(text: str = '{"id": "c1", "choi') -> Step:
    """JSON that ends too early."""
    return lambda handler: _send(handler, 200, text, "application/json", {})


def silence(seconds: float) -> Step:
    """No answer for a while."""

    def wait(handler: BaseHTTPRequestHandler) -> None:
        time.sleep(seconds)
        handler.close_connection = True

    return wait


def drip(seconds: float) -> Step:
    """An answer that comes byte by byte."""

    def send(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        try:
            for _ in range(int(seconds / 0.02)):
                time.sleep(0.02)
                handler.wfile.write(b" ")
        except OSError:
            handler.close_connection = True

    return send


def redirect(location: str, code: int = 307) -> Step:
    """The answer is elsewhere."""
    return lambda handler: _send(handler, code, "", "text/html", {"Location": location})


def stream(*chunks: Any, end: str = "data: [DONE]\n\n") -> Step:
    """Server-sent events, whether they were asked for or not."""
    body = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + end
    return lambda handler: _send(handler, 200, body, "text/event-stream", {})


def delta(content: Any, finish: str | None = None, **message: Any) -> dict[str, Any]:
    """A chunk of a stream."""
    choice = {"index": 0, "finish_reason": finish, "delta": {"content": content, **message}}
    return {"id": "c1", "object": "chat.completion.chunk", "model": "served-1", "choices": [choice]}


def packed(content: bytes, coding: str, code: int = 200) -> Step:
    """A body under a content coding."""

    def send(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(code)
        headers = {"Content-Type": "application/json", "Content-Encoding": coding, "Content-Length": str(len(content))}
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        _pour(handler, [content])

    return send


def endless(piece: bytes = b" " * 65536, *, chunked: bool = False, code: int = 200) -> Step:
    """A body without end; it stops by itself only after 256 MiB."""

    def send(handler: BaseHTTPRequestHandler) -> None:
        handler.protocol_version = "HTTP/1.1"
        handler.send_response(code)
        handler.send_header("Content-Type", "application/json")
        if chunked:
            handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        framed = f"{len(piece):x}\r\n".encode() + piece + b"\r\n" if chunked else piece
        _pour(handler, (framed for _ in range(256 * 2**20 // len(piece))))

    return send


def endless_headers(handler: BaseHTTPRequestHandler) -> None:
    """A header line without end."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    _pour(handler, (b"X-Long: " + b"x" * 65536 + b"\r\n" for _ in range(4096)))


def _pour(handler: Any, pieces: Any) -> None:
    """Send until the other side has had enough."""
    try:
        for piece in pieces:
            handler.wfile.write(piece)
            handler.owner.sent_bytes += len(piece)
    except OSError:
        pass  # that is what the tests are about
    handler.close_connection = True


def hang_up(handler: BaseHTTPRequestHandler) -> None:
    """The connection ends without a word."""
    handler.connection.shutdown(socket.SHUT_RDWR)
    handler.close_connection = True
