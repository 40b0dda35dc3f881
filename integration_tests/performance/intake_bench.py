"""Events per second through one intake instance: unary, batch and stream.

    python -m integration_tests.performance.intake_bench [--events 20000]

Broker, intake and clients share this machine; KAFKA_BOOTSTRAP_SERVERS is used when set. Prints one
line a figure, with the processor time the intake took for an event (which other work on the machine
hardly changes) and the machine's load before. No limit is checked: the figures are for people.
"""

import argparse
import asyncio
import os
import statistics
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import grpc
from market_supervision.inspections.v1.inspections_events_pb2 import InspectionEvent
from market_supervision.inspections.v1.inspections_intake_service_pb2 import StreamSubmitRequest

from integration_tests.intake.support import (
    IntakeInstance,
    batch,
    batch_request,
    inspection,
    running,
    stream,
    submit_request,
    unary,
)
from services.contracts.topics import TOPIC_PREFIX_VARIABLE
from services.local.kafka import LocalKafka
from services.runtime.kafka_topics import ensure_topics

BATCH_EVENTS = 500
BATCH_CALLERS = 4


async def unary_calls(address: str, events: Sequence[InspectionEvent], callers: int) -> str:
    """Submit one by one from ``callers`` concurrent callers; describe the latencies."""
    latencies: list[float] = []
    queue = list(reversed(events))
    async with grpc.aio.insecure_channel(address) as channel:
        submit = unary(channel)

        async def call() -> None:
            while queue:
                request = submit_request(queue.pop())
                start = time.perf_counter()
                await submit(request)
                latencies.append((time.perf_counter() - start) * 1000)

        await asyncio.gather(*(call() for _ in range(callers)))
    latencies.sort()
    p99 = latencies[len(latencies) * 99 // 100]
    return f"p50 {statistics.median(latencies):.2f} ms, p99 {p99:.2f} ms"


async def batch_calls(address: str, events: Sequence[InspectionEvent]) -> str:
    """Submit in batches from a few concurrent callers."""
    batches = [events[at : at + BATCH_EVENTS] for at in range(0, len(events), BATCH_EVENTS)]
    async with grpc.aio.insecure_channel(address) as channel:
        submit = batch(channel)

        async def call() -> None:
            while batches:
                answer = await submit(batch_request(batches.pop()))
                assert all(outcome.HasField("receipt") for outcome in answer.outcomes)

        await asyncio.gather(*(call() for _ in range(BATCH_CALLERS)))
    return f"{BATCH_CALLERS} callers x {BATCH_EVENTS} events"


async def one_stream(address: str, events: Sequence[InspectionEvent]) -> str:
    """Submit over one bidirectional stream."""

    async def requests() -> AsyncIterator[StreamSubmitRequest]:
        for number, event in enumerate(events):
            yield StreamSubmitRequest(sequence=number, event=event)

    answered = 0
    async with grpc.aio.insecure_channel(address) as channel:
        async for answer in stream(channel)(requests()):
            assert answer.outcome.HasField("receipt")
            answered += 1
    assert answered == len(events)
    return "1 stream"


def processor_seconds(pid: int) -> float:
    """Return the processor time a process took so far, all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def measure_all(address: str, pid: int, count: int) -> None:
    """Measure every way in, each with events of its own, then the same events again."""

    async def measure(name: str, count: int, run: Callable[[], Awaitable[str]]) -> None:
        load, used, start = os.getloadavg()[0], processor_seconds(pid), time.perf_counter()
        remark = await run()
        seconds = time.perf_counter() - start
        cost = (processor_seconds(pid) - used) / count * 1e6
        figures = f"{count / seconds:>9,.0f} events/s {cost:>6,.0f} us of CPU an event"
        print(f"{name:<24} {figures}   {remark}   (load before: {load:.2f})")  # noqa: T201

    few, some = [inspection(n) for n in range(500)], [inspection(n) for n in range(1_000, 6_000)]
    batched = [inspection(10_000 + n) for n in range(count)]
    streamed = [inspection(10_000_000 + n) for n in range(count)]
    await measure("unary, 1 caller", len(few), lambda: unary_calls(address, few, 1))
    await measure("unary, 64 callers", len(some), lambda: unary_calls(address, some, 64))
    await measure("batch", count, lambda: batch_calls(address, batched))
    await measure("stream", count, lambda: one_stream(address, streamed))
    await measure("batch, sent again", count, lambda: batch_calls(address, batched))
    await measure("unary again, 64 callers", len(some), lambda: unary_calls(address, some, 64))


def main() -> None:
    """Start what is needed and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--events", type=int, default=20_000)
    arguments = parser.parse_args()
    os.environ[TOPIC_PREFIX_VARIABLE] = f"bench-{uuid.uuid4().hex[:8]}."
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if "KAFKA_BOOTSTRAP_SERVERS" not in os.environ:
            kafka = stack.enter_context(LocalKafka(directory / "kafka"))
            os.environ["KAFKA_BOOTSTRAP_SERVERS"] = kafka.bootstrap_servers
        ensure_topics(os.environ["KAFKA_BOOTSTRAP_SERVERS"])
        instance = stack.enter_context(running(IntakeInstance("intake", directory)))
        print(f"{os.cpu_count()} cores, broker, intake and clients on one machine")  # noqa: T201
        asyncio.run(measure_all(instance.address, instance.process.pid, arguments.events))


if __name__ == "__main__":
    main()
