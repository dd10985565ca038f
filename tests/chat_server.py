"""A chat-completions server on 127.0.0.1 that plays a script: one step per request, the last one for ever.

with ChatServer(good("..."), status(500)) as server:  server.url, server.requests
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Step = Callable[[BaseHTTPRequestHandler], None]


class ChatServer:
    """Plays the steps; `requests` keeps the JSON bodies, `headers` the headers by their names in lower case."""

    def __init__(self, *steps: Step) -> None:
        self.steps = list(steps)
        self.requests = []
        self.headers = []
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                owner.requests.append(json.loads(body))
                owner.headers.append({name.lower(): value for name, value in self.headers.items()})
                step = owner.steps.pop(0) if len(owner.steps) > 1 else owner.steps[0]
                step(self)

            def log_message(self, *arguments: Any) -> None:
                """Nothing on the screen."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> ChatServer:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def _send(handler: BaseHTTPRequestHandler, code: int, body: str, kind: str, headers: dict[str, str]) -> None:
    content = body.encode()
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


def hang_up(handler: BaseHTTPRequestHandler) -> None:
    """The connection ends without a word."""
    handler.connection.shutdown(socket.SHUT_RDWR)
    handler.close_connection = True
