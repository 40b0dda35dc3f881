"""Events per second through the stream: one lifecycle worker drains what is already on the log.

    python -m integration_tests.performance.pipeline_bench [--entities 400]

The log is a synthetic city's two years: decoded, folded, judged by the rules, committed in
transactions with its timeline and alerts. Broker, worker and this reader share the machine. The
time is from the worker's first transaction to its last, so without its start; the processor time
the worker took for an event hardly changes with other work on the machine, whose load is printed.
No limit is checked: the figures are for people. KAFKA_BOOTSTRAP_SERVERS is used when set.
"""

import argparse
import os
import tempfile
import time
import uuid
from contextlib import ExitStack
from pathlib import Path

from integration_tests.performance.intake_bench import processor_seconds
from integration_tests.system.city_log import (
    CONTROL,
    CityLog,
    Feed,
    city_log,
    make_time_lapse_topics,
)
from integration_tests.system.support import publish_rules, read_topic, wait_applied
from services.contracts.topics import TOPIC_PREFIX_VARIABLE
from services.local.environment import KAFKA_VARIABLE
from services.local.kafka import LocalKafka
from services.local.run_directory import owned_run_directory
from services.local.system import LocalSystem
from services.runtime.clock import now_ms
from services.streaming.meta import META_KEY

ALL_DAYS = 36_500
WORKER = "lifecycle-0"
LOOK_SECONDS = 0.1
DRAIN_SECONDS_MAX = 300.0


def main() -> None:
    """Feed a city, drain it, print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--entities", type=int, default=400, help="size of the city")
    log = city_log(parser.parse_args().entities)
    os.environ[TOPIC_PREFIX_VARIABLE] = f"bench-{uuid.uuid4().hex[:8]}."
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pipeline-bench-")))
        bootstrap = (
            os.environ.get(KAFKA_VARIABLE)
            or stack.enter_context(LocalKafka(directory / "kafka")).bootstrap_servers
        )
        make_time_lapse_topics(bootstrap)
        publish_rules(bootstrap, max_age_days=ALL_DAYS, timestamp_ms=log.begins_ms - 1)
        feed = Feed(bootstrap, log.records, is_read=False)
        feed.start()
        feed.finish()
        _drain(directory / "system", bootstrap, log)


def _drain(directory: Path, bootstrap: str, log: CityLog) -> None:
    events = sum(record.topic != CONTROL for record in log.records)
    load = os.getloadavg()[0]
    with owned_run_directory(directory):
        system = LocalSystem(directory, bootstrap, "", os.environ[TOPIC_PREFIX_VARIABLE])
        try:
            system.start(WORKER)
            samples = _watch(system, len(log.records))
            wait_applied(bootstrap)
        finally:
            system.stop()
    units = [r.timestamp for r in read_topic(bootstrap, "lifecycle.v1") if r.key == META_KEY]
    begin, end = min(units) / 1000, max(units) / 1000
    cpu = _at(samples, end) - _at(samples, begin)
    print(  # noqa: T201
        f"stream: {events:,} events in {len(units)} transactions, {end - begin:.1f} s: "
        f"{events / (end - begin):,.0f} events/s, {cpu / events * 1e6:,.0f} us of CPU an event   "
        f"(load before: {load:.2f}; {os.cpu_count()} processors)"
    )


def _watch(system: LocalSystem, records: int) -> list[tuple[float, float]]:
    """Return (time, processor seconds of the worker) from its start until it took everything."""
    samples = []
    deadline = time.monotonic() + DRAIN_SECONDS_MAX
    while time.monotonic() < deadline:
        samples.append((now_ms() / 1000, processor_seconds(system.process(WORKER).pid)))
        partitions = system.worker_status(WORKER).get("partitions", {})
        assert isinstance(partitions, dict)
        if sum(part["records"] for part in partitions.values()) >= records:
            return samples
        for exited in system.supervisor.check():
            message = f"{WORKER} ended with {exited.exit_code}, so this is no measurement"
            raise RuntimeError(message)
        time.sleep(LOOK_SECONDS)
    message = f"not drained within {DRAIN_SECONDS_MAX} s"
    raise TimeoutError(message)


def _at(samples: list[tuple[float, float]], moment: float) -> float:
    """Return the processor seconds at a moment, to within one sample."""
    return min(samples, key=lambda sample: abs(sample[0] - moment))[1]


if __name__ == "__main__":
    main()
