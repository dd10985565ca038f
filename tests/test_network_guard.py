"""No test can reach another machine. (TCP to a multicast address: the kernel refuses it even without the guard.)"""

import socket
import urllib.request

import pytest

ELSEWHERE = ("224.0.0.1", 9)
REFUSED = r"may not reach b?'.+': only 127\.0\.0\.0/8, ::1, localhost and unix sockets"


@pytest.mark.parametrize("method", ["connect", "connect_ex"])
@pytest.mark.parametrize(
    ("family", "address"), [(socket.AF_INET, ELSEWHERE), (socket.AF_INET6, ("ff02::1", 9, 0, 0))], ids=["v4", "v6"]
)
def test_no_connection_to_another_machine(method, family, address):
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        with pytest.raises(RuntimeError, match=REFUSED):
            getattr(sock, method)(address)
        assert sock.getsockname()[1] == 0, "the kernel has bound a port: the call went through"


def test_no_datagram_to_another_machine():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for arguments in ((b"x", ELSEWHERE), (b"x", 0, ELSEWHERE)):
            with pytest.raises(RuntimeError, match=REFUSED):
                sock.sendto(*arguments)
        assert sock.getsockname()[1] == 0


def test_no_look_up_of_a_name():
    with pytest.raises(RuntimeError, match=r"'example\.invalid'"):
        socket.getaddrinfo("example.invalid", 80, flags=socket.AI_NUMERICHOST)  # the flag: no query even unguarded


@pytest.mark.parametrize("host", ["10.1.2.3", "0.0.0.0", "localhost.example.invalid", "::2", b"example.invalid"])
def test_what_looks_near_is_refused_too(host):
    with pytest.raises(RuntimeError, match=REFUSED):
        socket.getaddrinfo(host, 80, flags=socket.AI_NUMERICHOST)


def test_libraries_are_caught_as_well():
    with pytest.raises(RuntimeError, match=REFUSED):
        socket.create_connection(ELSEWHERE)
    with pytest.raises(RuntimeError, match=REFUSED):
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open("http://224.0.0.1:9/")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_loopback_works(host):
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection((host, server.getsockname()[1]))
        peer, _ = server.accept()
        with client, peer:
            client.sendall(b"here")
            assert peer.recv(4) == b"here"


def test_unix_sockets_work(tmp_path):
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(str(tmp_path / "s"))
        server.listen()
        client.connect(str(tmp_path / "s"))
        assert client.getpeername() == str(tmp_path / "s")
