"""A Kafka client of a test that is closed while it connects leaves no socket behind."""

import gc
import socket
import warnings
from collections.abc import Iterator

import pytest
from kafka.net.inet import KafkaNetSocket
from kafka.net.selector import NetworkSelector

from integration_tests import given_up_connections


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A server whose queue is full: connecting to it takes longer than anyone waits."""
    with socket.socket() as server, socket.socket() as first, socket.socket() as second:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for other in (first, second):
            other.settimeout(0)
            other.connect_ex(server.getsockname())
        yield server


def _warnings_of_a_client_closed_while_it_connects(server: socket.socket) -> list[str]:
    gc.collect()  # what earlier tests left
    place = (socket.AF_INET, socket.SOCK_STREAM, 6, "", server.getsockname())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        net = NetworkSelector()
        task = net.call_soon(KafkaNetSocket().connect(net, place))
        net.poll(timeout_ms=50)
        net.close()
        del task
        gc.collect()
    texts = [str(warning.message) for warning in caught]
    return [text for text in texts if "unclosed <socket.socket" in text]


def test_socket_of_a_connection_given_up_is_closed(listener: socket.socket) -> None:
    """As every test of this tree runs: its conftest says so."""
    assert not _warnings_of_a_client_closed_while_it_connects(listener)


def test_kafka_python_still_leaves_it_open(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When this fails, kafka-python closes it itself, and our closing can go."""
    monkeypatch.setattr(KafkaNetSocket, "sock_connect", given_up_connections.of_the_library)
    assert _warnings_of_a_client_closed_while_it_connects(listener)
