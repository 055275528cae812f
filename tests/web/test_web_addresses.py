from __future__ import annotations

import socket

import pytest

from exporter.errors import ConfigError, ExporterError
from exporter.web.addresses import Address, listen, parse_address, url


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (":10110", Address("", 10110)),
        ("127.0.0.1:9", Address("127.0.0.1", 9)),
        ("[::1]:9", Address("::1", 9)),
        ("localhost:0", Address("localhost", 0)),
    ],
)
def test_addresses_are_read_as_go_spells_them(text: str, address: Address) -> None:
    assert parse_address(text) == address
    assert str(address) == text


@pytest.mark.parametrize("text", ["", "10110", "host", "host:", ":x", ":65536", ":-1", "::1:9", ":٣"])
def test_anything_else_is_a_fault_of_the_flag(text: str) -> None:
    with pytest.raises(ConfigError, match=r"--web\.listen-address: .*write it as"):
        parse_address(text)


def test_an_address_without_host_is_reached_by_ipv4_and_ipv6() -> None:
    [listener] = listen([Address("", 0)])
    with listener:
        port = listener.getsockname()[1]
        assert url(listener) == f"http://{socket.gethostname()}:{port}"
        socket.create_connection(("127.0.0.1", port)).close()
        if socket.has_dualstack_ipv6():
            socket.create_connection(("::1", port)).close()


def test_a_name_is_listened_on_once_and_ipv4_wins() -> None:
    [listener] = listen([Address("localhost", 0)])
    with listener:
        assert listener.getsockname()[0] == "127.0.0.1"


def test_a_taken_port_is_named_with_what_to_do_and_nothing_stays_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        free = _free_port()
        with pytest.raises(ExporterError, match=rf"^cannot listen on 127\.0\.0\.1:{port}: the port is taken: .*"):
            listen([Address("127.0.0.1", free), Address("127.0.0.1", port)])
    [again] = listen([Address("127.0.0.1", free)])
    again.close()


def test_an_address_of_another_machine_is_said_to_be_one() -> None:
    with pytest.raises(ExporterError, match=r"cannot listen on 192\.0\.2\.1:0: no network interface"):
        listen([Address("192.0.2.1", 0)])


def test_an_unknown_name_is_one_clear_line() -> None:
    with pytest.raises(ExporterError, match=r"^cannot listen on nowhere\.invalid:0: [^\n]+$"):
        listen([Address("nowhere.invalid", 0)])


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
