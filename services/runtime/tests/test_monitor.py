"""Operators see metrics and health of a process, also of one whose main loop is stuck."""

import http.client
import json
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from prometheus_client import Gauge
from prometheus_client.parser import text_string_to_metric_families

from services.runtime import monitor
from services.runtime.monitor import REQUESTS_MAX, Condition, MonitorServer, start_monitor
from services.runtime.settings import ConfigurationError, MonitorSettings


class Process:
    """Something that has a condition."""

    def __init__(self) -> None:
        self.condition = Condition(live=True, ready=False, details={"state": "starting"})

    def probe(self) -> Condition:
        """How it is now."""
        return self.condition


@pytest.fixture
def process() -> Process:
    """A process that is alive and not ready."""
    return Process()


@pytest.fixture
def server(process: Process, tmp_path: Path) -> Iterator[MonitorServer]:
    """Its monitor, on a port the system chose."""
    gauge = Gauge("trial_gauge", "A figure.", registry=None)
    gauge.set(7)
    settings = MonitorSettings(port=0, address_file=tmp_path / "trial.metrics.json")
    started = start_monitor(settings, "trial", process.probe, gauge)
    assert started is not None
    yield started
    started.stop()
    assert not (tmp_path / "trial.metrics.json").exists()


def get(server: MonitorServer, path: str) -> tuple[int, str]:
    """Status and body of a request."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def serves_again(server: MonitorServer) -> bool:
    """Whether health is answered in time; a place is free a moment after its client was dropped."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        with suppress(OSError, http.client.HTTPException):
            return get(server, "/healthz")[0] == 200
        time.sleep(0.1)
    return False


def test_monitor_without_a_port_is_no_server(process: Process) -> None:
    """Several workers of one host cannot share a default port."""
    assert start_monitor(MonitorSettings(), "trial", process.probe) is None


def test_monitor_writes_where_it_listens(server: MonitorServer, tmp_path: Path) -> None:
    """With port 0 the system chooses."""
    told = json.loads((tmp_path / "trial.metrics.json").read_text("utf-8"))
    assert (told["service"], told["host"], told["port"]) == ("trial", "127.0.0.1", server.port)


def test_metrics_are_those_of_the_collectors_and_of_the_process(server: MonitorServer) -> None:
    """What Prometheus reads can be parsed, and holds memory and processor time as well."""
    status, body = get(server, "/metrics")
    assert status == 200
    families = {family.name: family for family in text_string_to_metric_families(body)}
    assert families["trial_gauge"].samples[0].value == 7
    assert families["process_resident_memory_bytes"].samples[0].value > 0


@pytest.mark.parametrize(
    ("live", "ready", "statuses"),
    [(True, True, (200, 200)), (True, False, (200, 503)), (False, True, (503, 503))],
)
def test_health_tells_live_and_ready_apart(
    server: MonitorServer,
    process: Process,
    live: bool,  # noqa: FBT001  a row of a table
    ready: bool,  # noqa: FBT001  a row of a table
    statuses: tuple[int, int],
) -> None:
    """One that is not alive is never ready, whatever it believes."""
    process.condition = Condition(live=live, ready=ready, details={"state": "working"})
    answers = [get(server, path) for path in ("/healthz", "/readyz?verbose")]
    assert tuple(status for status, _ in answers) == statuses
    assert json.loads(answers[0][1])["state"] == "working"


def test_monitor_answers_nothing_else(server: MonitorServer) -> None:
    """Not a directory, and not which software this is."""
    assert get(server, "/")[0] == 404
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request("GET", "/healthz")
    assert "Python" not in str(connection.getresponse().getheader("Server"))
    connection.close()


def test_clients_that_say_nothing_leave_room_for_others_in_time(
    server: MonitorServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So many connections and no more; each is dropped when it stays silent."""
    monkeypatch.setattr(monitor, "REQUEST_SECONDS_MAX", 0.5)
    silent = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(20)]
    for each in silent:
        each.settimeout(30)
        assert each.recv(1) == b""
        each.close()
    assert serves_again(server)


def test_clients_that_trickle_bytes_do_not_keep_others_out(
    server: MonitorServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request as a whole has its time: a byte now and then does not prolong it."""
    monkeypatch.setattr(monitor, "REQUEST_SECONDS_MAX", 1.0)
    places = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(REQUESTS_MAX)]
    begun = time.monotonic()
    while open_places := [each for each in places if not dropped(each)]:
        assert time.monotonic() < begun + 60, f"{len(open_places)} still have their place"
        time.sleep(0.1)
    for each in places:
        each.close()
    assert serves_again(server)


def dropped(client: socket.socket) -> bool:
    """Send one more byte of a request that never ends; tell whether the server gave it up."""
    client.settimeout(0.01)
    try:
        client.sendall(b"G")
        return client.recv(1) == b""
    except TimeoutError:
        return False
    except OSError:
        return True


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "203.0.113.7", "example.org"])  # noqa: S104  refused
def test_address_beyond_this_machine_has_to_be_meant(host: str, process: Process) -> None:
    """A typing mistake must not open a port to the network; and an explicit word does."""
    with pytest.raises(ConfigurationError, match="OPEN_TO_NETWORK"):
        start_monitor(MonitorSettings(host=host, port=0), "trial", process.probe)


def test_address_that_is_meant_is_bound(process: Process) -> None:
    """As a collector on another machine needs it."""
    settings = MonitorSettings(host="0.0.0.0", port=0, open_to_network=True)  # noqa: S104  for a moment
    started = start_monitor(settings, "trial", process.probe)
    assert started is not None
    assert get(started, "/healthz")[0] == 200
    started.stop()


def test_port_that_is_taken_is_told(server: MonitorServer, process: Process) -> None:
    """Before anything else is begun."""
    with pytest.raises(ConfigurationError, match=str(server.port)):
        start_monitor(MonitorSettings(port=server.port), "other", process.probe)
