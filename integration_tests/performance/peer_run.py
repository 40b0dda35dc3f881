"""One engine drains the peers' log once: its rate, its processor time, and whether it was right.

The same definition for every engine: from the moment its fold had been given the first tenth of
the events to the append time of its last output at the broker; so start-up is nobody's time, and
work that is not yet committed is not yet done. Where an engine writes nothing (the agent that does
nothing), the end is when its last event came. The digest of the final states on its changelog must
be the expected one, else there is no figure.
"""

import json
import shutil
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

import psutil

from integration_tests.performance.log_reading import read_states
from integration_tests.performance.peer_fold import REPORTED_PART
from integration_tests.performance.peer_log import PeerLog, delete_topics, make_topics
from integration_tests.performance.peers.catalogue import ROOT, Peer
from integration_tests.performance.peers.progress import PeerArguments
from services.local.process import ManagedProcess

DRAIN_SECONDS_MAX = 420.0
LOOK_SECONDS = 0.05
LOG_TAIL_BYTES = 3_000


class WrongResultError(Exception):
    """An engine ended otherwise than it should, or with other states than the expected ones."""


@dataclass(frozen=True, slots=True)
class Drain:
    """One run of one engine over a log."""

    events_per_s: float
    cpu_us_per_event: float
    """Processor time of the engine's process, all threads, between the same two moments."""
    seconds: float
    memory_mib: float
    """Highest resident size that was seen."""


def drain(peer: Peer, log: PeerLog, directory: Path) -> Drain:
    """Let an engine drain the log from nothing; its topics and files are removed afterwards.

    Raises WrongResultError.
    """
    group = f"drain-{uuid.uuid4().hex[:8]}"
    folder = directory / group
    folder.mkdir(parents=True)
    changelog = peer.changelog(group, log.topic) if peer.changelog else ""
    arguments = PeerArguments(
        bootstrap=log.bootstrap,
        topic=log.topic,
        records=log.records,
        group=group,
        directory=str(folder),
        control=log.control,
        changelog=changelog,
        timeline=f"{group}.timeline",
    )
    outputs = [topic for topic in (changelog, arguments.timeline) if topic]
    make_topics(log.bootstrap, outputs, compacted=True)
    try:
        samples = _run(peer, arguments, folder)
        marks = json.loads(arguments.marks_file.read_text())
        ended_ms = marks["last_ms"]
        if changelog:
            outcome = read_states(log.bootstrap, changelog, peer.entity_key)
            if outcome.digest != log.digest:
                message = f"{peer.name}: {outcome.digest} of {outcome.states} states, not expected"
                raise WrongResultError(message)
            ended_ms = outcome.last_append_ms
    finally:
        delete_topics(log.bootstrap, outputs)
        shutil.rmtree(folder, ignore_errors=True)
    events = log.records - log.records // REPORTED_PART
    seconds = (ended_ms - marks["tenth_ms"]) / 1000
    cpu = _at(samples, ended_ms) - _at(samples, marks["tenth_ms"])
    memory = max(sample.memory_bytes for sample in samples) / (1 << 20)
    return Drain(events / seconds, cpu / events * 1e6, seconds, memory)


@dataclass(frozen=True, slots=True)
class _Sample:
    at_ms: float
    cpu_s: float
    memory_bytes: int


def _run(peer: Peer, arguments: PeerArguments, folder: Path) -> list[_Sample]:
    environment = {"PYTHONPATH": f"{ROOT}:{ROOT / 'protos' / 'gen'}"}
    if peer.own_environment:
        environment = {"PYTHONPATH": str(ROOT)}
    process = ManagedProcess(
        "engine",
        peer.command(arguments),
        run_directory=folder,
        log_file=folder / "engine.log",
        environment=environment,
    )
    process.start()
    samples: list[_Sample] = []
    deadline = time.monotonic() + DRAIN_SECONDS_MAX
    try:
        seen = psutil.Process(process.pid)
        while process.running():
            samples.append(_sample(seen, samples))
            if time.monotonic() > deadline:
                raise WrongResultError(f"{peer.name}: not done after {DRAIN_SECONDS_MAX} s")
            time.sleep(LOOK_SECONDS)
        if process.exit_code() != 0 or not arguments.marks_file.exists():
            tail = process.log_file.read_text(errors="replace")[-LOG_TAIL_BYTES:]
            raise WrongResultError(f"{peer.name} ended with {process.exit_code()}:\n{tail}")
    finally:
        process.stop(0)
    return samples


def _sample(process: psutil.Process, before: list[_Sample]) -> _Sample:
    try:
        times = process.cpu_times()
        memory = process.memory_info().rss
    except psutil.Error:
        # It ended between two looks: what it used in between is in no sample.
        return before[-1] if before else _Sample(0.0, 0.0, 0)
    return _Sample(time.time() * 1000, times.user + times.system, memory)


def _at(samples: list[_Sample], moment_ms: float) -> float:
    """Return the processor seconds at a moment, to within one sample."""
    return min(samples, key=lambda sample: abs(sample.at_ms - moment_ms)).cpu_s
