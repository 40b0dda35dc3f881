"""One engine drains the peers' log once: its rate, its processor time, and whether it was right.

The same definition for every engine: from the moment its fold had been given the first tenth of
the events to the append time of its last output at the broker; so start-up is nobody's time, and
work that is not yet committed is not yet done. Where an engine writes nothing (the agent that does
nothing), the end is when its last event came. The digest of the final states on its changelog must
be the expected one, else there is no figure.
"""

import json
import shutil
import uuid
from dataclasses import dataclass, replace
from pathlib import Path

from integration_tests.performance.log_reading import read_states
from integration_tests.performance.peer_fold import REPORTED_PART
from integration_tests.performance.peer_log import PeerLog, delete_topics, make_topics
from integration_tests.performance.peers.catalogue import ROOT, Peer
from integration_tests.performance.peers.progress import PeerArguments, SharedProgress
from integration_tests.performance.processes import (
    RUN_SECONDS_MAX,
    Sample,
    WrongResultError,
    at_moment,
    memory_mib,
    run_to_end,
)
from integration_tests.performance.shown import Shown
from services.local.process import ManagedProcess

EVENTS_PER_SECOND_MIN = 5_000
"""A slower engine is given up on, where that is later than the usual bound."""


@dataclass(frozen=True, slots=True)
class Drain:
    """One run of one engine over a log."""

    events_per_s: float
    cpu_us_per_event: float
    """Processor time of the engine's processes, all threads, between the same two moments."""
    seconds: float
    memory_mib: float
    """Highest resident size that was seen, of all its processes."""
    from_start_s: float
    """From the start of the process to its last output: what an operator waits."""


def drain(peer: Peer, log: PeerLog, directory: Path) -> Drain:
    """Let an engine drain the log from nothing; its topics and files are removed afterwards.

    Raises WrongResultError.
    """
    arguments = prepare(peer, log, directory)
    try:
        return drain_prepared(peer, log, arguments)
    finally:
        remove(arguments)


def prepare(peer: Peer, log: PeerLog, directory: Path) -> PeerArguments:
    """Make the directory and the topics of one run under a group of its own."""
    group = f"drain-{uuid.uuid4().hex[:8]}"
    folder = directory / group
    folder.mkdir(parents=True)
    arguments = PeerArguments(
        bootstrap=log.bootstrap,
        topic=log.topic,
        records=log.records,
        group=group,
        directory=str(folder),
        control=log.control,
        changelog=peer.changelog(group, log.topic) if peer.changelog else "",
        timeline=f"{group}.timeline",
    )
    make_topics(log.bootstrap, _outputs(arguments), compacted=True)
    return arguments


def remove(arguments: PeerArguments) -> None:
    """Remove what a run left: topics and files."""
    delete_topics(arguments.bootstrap, _outputs(arguments))
    shutil.rmtree(arguments.directory, ignore_errors=True)


def drain_prepared(peer: Peer, log: PeerLog, arguments: PeerArguments) -> Drain:
    """Let an engine drain the log; its topics and files stay."""
    samples = run_peer(peer, arguments)
    if not arguments.marks_file.exists():
        SharedProgress.merge(arguments)
    if not arguments.marks_file.exists():
        raise WrongResultError(f"{peer.name} ended without having been given every event")
    marks = json.loads(arguments.marks_file.read_text())
    ended_ms = marks["last_ms"]
    if peer.changelog:
        outcome = read_states(log.bootstrap, arguments.changelog, peer.entity_key)
        if outcome.digest != log.digest:
            message = f"{peer.name}: {outcome.digest} of {outcome.states} states, not expected"
            raise WrongResultError(message)
        ended_ms = outcome.last_append_ms
    events = log.records - log.records // REPORTED_PART
    seconds = (ended_ms - marks["tenth_ms"]) / 1000
    cpu = at_moment(samples, ended_ms) - at_moment(samples, marks["tenth_ms"])
    return Drain(
        events / seconds,
        cpu / events * 1e6,
        seconds,
        memory_mib(samples),
        (ended_ms - samples[0].at_ms) / 1000,
    )


def run_peer(peer: Peer, arguments: PeerArguments, *further: str) -> list[Sample]:
    """Run an engine's processes until they end by themselves."""
    paths = [str(ROOT)] if peer.own_environment else [str(ROOT), str(ROOT / "protos" / "gen")]
    processes = []
    for worker in range(peer.workers):
        told = replace(arguments, worker=worker)
        told.worker_directory.mkdir(exist_ok=True)
        processes.append(
            ManagedProcess(
                "engine",
                [*peer.command(told), *further],
                run_directory=told.worker_directory,
                log_file=told.log_file,
                environment={"PYTHONPATH": ":".join(paths)},
            )
        )
    seconds_max = max(RUN_SECONDS_MAX, arguments.records / EVENTS_PER_SECOND_MIN)
    shown = Shown(f"{peer.name}: events drained", arguments.records)
    return run_to_end(processes, peer.name, seconds_max, lambda: shown.at(arguments.done()))


def _outputs(arguments: PeerArguments) -> list[str]:
    return [topic for topic in (arguments.changelog, arguments.timeline) if topic]
