"""What the environment variables say about asking a server: address, key, names of accounts, proxy, certificates.

    AskSettings    ->  addressed  ->  AskSettings whose address is known        ->  key_of  ->  the key
    address        ->  proxy_for  ->  Proxy or None                  certificates(...)      ->  SSLContext

Every fault is a ValueError of one sentence that names the variable, told before anything is sent. What a variable holds
is quoted only where it cannot be secret.
"""

from __future__ import annotations

import importlib.util
import ipaddress
import os
import re
import socket
import ssl
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from iker_agent.vlm.settings import OPENAI_ADDRESS, AskSettings, check_address

_ADDRESS = "OPENAI_BASE_URL"
_ACCOUNTS = ("OPENAI_ORG_ID", "OPENAI_PROJECT_ID")  # the client library sends these as headers
_HEADERS = "OPENAI_CUSTOM_HEADERS"  # and the lines of this
_PROXY_SCHEMES = ("http", "https", "socks5", "socks5h")


def addressed(settings: AskSettings) -> AskSettings:
    """The settings with an address: theirs, else that of OPENAI_BASE_URL, else OpenAI's."""
    if settings.base_url:
        return settings
    named = os.environ.get(_ADDRESS, "").strip()
    if named:
        check_address(named, _ADDRESS)
    return replace(settings, base_url=named or OPENAI_ADDRESS)


def key_of(settings: AskSettings) -> str:
    """The key in the variable that the settings name, "" if there is none."""
    key = os.environ.get(settings.key_env, "").strip()
    if not _fits_header(key):
        raise ValueError(f"the key in {settings.key_env} holds a line break or a letter that no key has; copy it again")
    return key


def check_accounts() -> None:
    """ValueError if a variable that is sent as a header holds what no header can carry."""
    held = [(name, os.environ.get(name, "")) for name in _ACCOUNTS]
    held += [(_HEADERS, line.strip()) for line in os.environ.get(_HEADERS, "").split("\n")]
    for name, text in held:
        if not _fits_header(text) or text != text.strip():
            raise ValueError(f"{name} holds a space, a line break or a letter that no header can carry; set it again")


def _fits_header(text: str) -> bool:
    return text.isascii() and text.isprintable()


@dataclass(frozen=True)
class Proxy:
    """A proxy and the variable that names it; its address may hold a password and is not shown."""

    url: str
    variable: str


def proxy_for(address: str) -> Proxy | None:
    """The proxy between here and a server, from HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY; never for loopback."""
    parts = urlsplit(address)
    host = parts.hostname or ""
    proxies = urllib.request.getproxies()
    if is_this_machine(host) or urllib.request.proxy_bypass(parts.netloc) or _in_networks(host, proxies.get("no", "")):
        return None
    kind = next((k for k in (parts.scheme, "all") if proxies.get(k)), None)
    if kind is None:
        return None
    url = proxies[kind] if "://" in proxies[kind] else f"http://{proxies[kind]}"
    proxy = Proxy(url, _variable(f"{kind}_proxy"))
    _check_proxy(proxy)
    return proxy


def _check_proxy(proxy: Proxy) -> None:
    """Nothing of the address is quoted but its scheme."""
    way_out = "name another, unset it, or list the server's host in NO_PROXY"
    scheme = proxy.url.split("://")[0].lower()
    if scheme not in _PROXY_SCHEMES:
        raise ValueError(f"{proxy.variable} names a proxy of another kind than {', '.join(_PROXY_SCHEMES)}; {way_out}")
    try:
        parts = urlsplit(proxy.url)
        good = bool(parts.hostname) and parts.port != 0 and proxy.url.isprintable() and " " not in proxy.url
    except ValueError:  # a port that is none, brackets that do not close
        good = False
    if not good:
        raise ValueError(f"{proxy.variable} names a proxy whose address cannot be read; {way_out}")
    if scheme.startswith("socks") and importlib.util.find_spec("socksio") is None:  # the HTTP client needs it
        package = "socksio, which a SOCKS proxy needs (python -m pip install socksio)"
        raise ValueError(f"{proxy.variable} asks for the package {package}; install it, or {way_out}")


def _variable(name: str) -> str:
    """The spelling under which a variable is set; some systems keep proxies elsewhere."""
    return next((n for n in (name, name.upper()) if os.environ.get(n)), "the system's proxy setting")


def is_this_machine(host: str) -> bool:
    """Does a host name or address mean the machine itself, in whatever spelling (localhost, ::1, 127.1)?"""
    host = host.rstrip(".").lower()
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        if not re.fullmatch(r"[0-9a-fx.]+", host):
            return False
        try:
            address = ipaddress.ip_address(socket.inet_aton(host))  # 127.1 and 2130706433 mean 127.0.0.1
        except OSError:
            return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback or address.is_unspecified


def _in_networks(host: str, listed: str) -> bool:
    """Is a host an address in one of the networks, such as 10.0.0.0/8, that are listed between commas?"""
    for entry in (e.strip() for e in listed.split(",")):
        try:
            if ipaddress.ip_address(host) in ipaddress.ip_network(entry, strict=False):
                return True
        except ValueError:  # one of the two is a name
            continue
    return False


def certificates(make_context: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    """What `make_context` makes of SSL_CERT_FILE and SSL_CERT_DIR, which a server's certificate is checked against."""
    checks: dict[str, Callable[[str], object]] = {
        "SSL_CERT_FILE": ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations,
        "SSL_CERT_DIR": os.listdir,
        "SSLKEYLOGFILE": lambda path: make_context(),
    }
    for name, check in checks.items():
        if path := os.environ.get(name):
            try:
                check(path)
            except OSError as error:  # ssl.SSLError is one
                raise ValueError(f"{name} names {path!r}, which cannot be used: {error}; mend it or unset it") from None
    return make_context()
