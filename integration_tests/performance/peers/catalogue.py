"""The engines that are compared: how each is started, where its states stand on the broker."""

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from integration_tests.performance.peers.progress import PeerArguments
from services.local.jars import class_path, pinned_jars
from services.local.java import find_java

PEERS = Path(__file__).parent
ROOT = PEERS.parents[2]
TOOLS = ROOT / ".run" / "bench" / "tools"
"""Virtual environments and compiled classes; made once, kept between runs."""

QUIX = "quixstreams==3.28.1"
SET_UP_SECONDS_MAX = 300.0
ENGINE_MODULES = "integration_tests.performance.peers"
JAVA_HEAP = "-Xmx1g"


class PeerUnavailableError(Exception):
    """The engine cannot be run on this machine; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Peer:
    """One engine: its command, and where and under which keys its changelog holds the states."""

    name: str
    command: Callable[[PeerArguments], list[str]]
    changelog: Callable[[str, str], str] | None
    """From group and topic to the topic of its states; None where it keeps none."""
    entity_key: Callable[[bytes], bytes | None] = lambda key: key
    """From a changelog key to the entity's; None for a record that is no state."""
    own_environment: bool = False
    """Whether it runs without this project's packages."""
    workers: int = 1
    """Processes that share the events."""


def _python(module: str, *further: str) -> Callable[[PeerArguments], list[str]]:
    return lambda arguments: [
        sys.executable,
        "-m",
        f"{ENGINE_MODULES}.{module}",
        arguments.encoded(),
        *further,
    ]


def _quix(*further: str) -> Callable[[PeerArguments], list[str]]:
    def command(arguments: PeerArguments) -> list[str]:
        return [str(quix_python()), str(PEERS / "quix.py"), arguments.encoded(), *further]

    return command


def quix_python() -> Path:
    """Return the interpreter of the environment that holds Quix Streams, made if missing."""
    environment = TOOLS / QUIX.replace("==", "-")
    python, made = environment / "bin" / "python", environment / "made.json"
    if not made.exists():
        shutil.rmtree(environment, ignore_errors=True)
        for command in (
            [sys.executable, "-m", "venv", str(environment)],
            [str(python), "-m", "pip", "install", "--quiet", QUIX],
        ):
            _set_up(command, "Quix Streams")
        made.write_text(json.dumps({"package": QUIX}))
    return python


def _kafka_streams(arguments: PeerArguments) -> list[str]:
    jars, classes = kafka_streams_classes()
    return [
        str(find_java()),
        JAVA_HEAP,
        "-cp",
        ":".join([str(classes), *map(str, jars)]),
        "PeerFold",
        arguments.bootstrap,
        arguments.topic,
        str(arguments.records),
        arguments.group,
        arguments.directory,
    ]


def kafka_streams_classes() -> tuple[list[Path], Path]:
    """Return the jars of Kafka Streams and the compiled fold, made if missing or changed.

    Raises PeerUnavailableError where the machine has no Java compiler.
    """
    folder = PEERS / "kafka_streams"
    source = folder / "PeerFold.java"
    jars = class_path(pinned_jars(folder / "jars.txt"))
    classes = TOOLS / f"kafka-streams-{hashlib.sha256(source.read_bytes()).hexdigest()[:12]}"
    if not (classes / "PeerFold.class").exists():
        compiler = shutil.which("javac")
        if compiler is None:
            raise PeerUnavailableError("Kafka Streams needs a JDK: there is no javac on PATH")
        classes.mkdir(parents=True, exist_ok=True)
        path = ":".join(map(str, jars))
        _set_up([compiler, "-cp", path, "-d", str(classes), str(source)], "Kafka Streams")
    return jars, classes


def _set_up(command: list[str], what: str) -> None:
    answer = subprocess.run(
        command, capture_output=True, text=True, timeout=SET_UP_SECONDS_MAX, check=False
    )
    if answer.returncode != 0:
        raise PeerUnavailableError(f"{what} could not be set up: {answer.stdout}{answer.stderr}")


def _not_reserved(key: bytes) -> bytes | None:
    return None if key.startswith(b"\x00") else key


def _before_bar(key: bytes) -> bytes | None:
    return key.partition(b"|")[0]


ENGINE = Peer(
    "engine", _python("engine_worker"), lambda group, _: f"{group}.changelog", _not_reserved
)
ENGINE_TWICE = replace(ENGINE, name="engine, two workers", workers=2)
STOCK_FAUST = Peer("stock Faust agent that does nothing", _python("stock_faust"), None)
QUIX_STREAMS = Peer(
    "Quix Streams 3.28.1, exactly-once",
    _quix(),
    lambda group, topic: f"changelog__{group}--{topic}--default",
    _before_bar,
    own_environment=True,
)
QUIX_AT_LEAST_ONCE = Peer(
    "Quix Streams 3.28.1, at-least-once",
    _quix("at-least-once"),
    lambda group, topic: f"changelog__{group}--{topic}--default",
    _before_bar,
    own_environment=True,
)
KAFKA_STREAMS = Peer(
    "Kafka Streams 4.3.1, exactly_once_v2, two threads",
    _kafka_streams,
    lambda group, _: f"{group}-fold-changelog",
    own_environment=True,
)
