"""One server, reached through the client library: a body goes out, an HTTP response comes back in time, or a VLMError.

The package `openai` (extra `vlm`) loads on first use. Only `post`, its errors and plain numbers are used of it, so that
its major versions 1 to 3 work alike.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from iker_agent.plain_text import clean_line
from iker_agent.vlm.errors import VLMConfigurationError, VLMError, VLMUnavailable
from iker_agent.vlm.settings import AskSettings
from iker_agent.vlm.surroundings import certificates, proxy_for
from iker_agent.vlm.transport import GuardedTransport

_PATH = "/chat/completions"
_MAX_CAUSE = 100  # characters of what the HTTP client says


class Connection:
    """The way to the server of `settings`, whose address is known, with a key; `hide` takes secrets out of text.

    ValueError if the package is missing, or if the address, the proxy or the certificates cannot be used.
    """

    def __init__(self, settings: AskSettings, key: str, hide: Callable[[str], str]) -> None:
        self.settings = settings
        self._key = key
        self._hide = hide
        self._proxy = proxy_for(settings.base_url)
        try:
            self._library = import_module("openai")
        except ModuleNotFoundError:
            raise ValueError("the backend openai needs an extra: python -m pip install 'iker[vlm]'") from None
        self._http = import_module("httpx" if self._library.__version__.startswith(("1.", "2.")) else "httpx2")
        self._client = self._connect()

    def _connect(self) -> Any:
        try:
            proxy = self._http.Proxy(self._proxy.url) if self._proxy else None
            inner = self._http.HTTPTransport(verify=certificates(self._http.create_ssl_context), proxy=proxy)
            http_client = self._http.Client(
                transport=GuardedTransport(inner, self._http.Response, self._hide),
                timeout=self.settings.timeout_s,
                trust_env=False,  # what the environment says is read in surroundings.py
            )
            return self._library.OpenAI(
                api_key=self._key or "none",  # local servers want no key, the library wants some text
                base_url=self.settings.base_url,
                max_retries=0,  # retries are made in OpenAIChat: not all trouble passes
                http_client=http_client,
            )
        except self._http.InvalidURL as error:
            raise ValueError(f"ask.base_url {self.settings.base_url!r} is no address: {error}") from None

    def post(self, body: Mapping[str, Any]) -> Any:
        """The response to a request body, of any status; VLMError when none comes within timeout_s."""
        # The library's own limit of time begins anew with every byte that drips in, so a thread makes the call.
        ended = threading.Event()
        result: list[Any] = []
        problems: list[Exception] = []

        def work() -> None:
            try:
                result.append(self._post(body))
            except Exception as problem:  # whatever it is, it is raised again where the call was made
                problems.append(problem)
            ended.set()

        threading.Thread(target=work, daemon=True).start()
        if not ended.wait(self.settings.timeout_s):
            self._client.close()  # ends the thread with the next byte
            self._client = self._connect()
            raise self._late()
        if problems:
            raise problems[0]
        return result[0]

    def _post(self, body: Mapping[str, Any]) -> Any:
        try:
            return self._client.post(_PATH, cast_to=self._http.Response, body=dict(body))
        except self._library.APIStatusError as error:
            return error.response
        except self._library.APITimeoutError:
            raise self._late() from None
        except self._library.OpenAIError as error:
            cause = error.__cause__ or error
            if isinstance(cause, VLMError):  # of GuardedTransport; version 3 lets it pass as it is
                raise cause from None
            raise self._unreached(clean_line(self._hide(str(cause)), _MAX_CAUSE).rstrip(".")) from None

    def _late(self) -> VLMError:
        s = self.settings
        return VLMUnavailable(f"no answer from {s.base_url}{self._way} within {s.timeout_s:g} s")

    def _unreached(self, cause: str) -> VLMError:
        if "CERTIFICATE_VERIFY_FAILED" in cause:
            return VLMConfigurationError(
                f"the certificate of {self.settings.base_url} is not trusted ({cause}); name the file that holds its "
                "authority's certificate in SSL_CERT_FILE"
            )
        hint = "; does the server speak https?" if "SSL" in cause else ""
        return VLMUnavailable(f"no connection with {self.settings.base_url}{self._way} ({cause}{hint})")

    @property
    def _way(self) -> str:
        return f" through the proxy of {self._proxy.variable}" if self._proxy else ""
