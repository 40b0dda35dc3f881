"""The tables of the sizing page, computed from measured unit costs.

    python -m integration_tests.performance.sizing [--check]

Unit costs: docs/operating/unit-costs.json (see `unit_costs`), but for the rate of recovery, which
is that of a row in docs/benchmarks/latest.json, where it has it. Whoever measures either anew runs
this after.
"""

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from integration_tests.performance.sizing_model import PEAK, SCALES, Costs, Scale, with_recovery_of

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "operating" / "sizing.md"
COSTS = DOCS / "operating" / "unit-costs.json"
BENCHMARKS = DOCS / "benchmarks" / "latest.json"
BEGIN, END = "<!-- {}: computed by integration_tests.performance.sizing -->", "<!-- end -->"

Row = tuple[str, Callable[[Scale], str]]


def rows(costs: Costs) -> list[Row]:
    """Return the lines of the table."""
    return [
        ("Entities", lambda s: _count(s.entities)),
        ("Events a day / mean / peak a second", lambda s: _rates(costs, s)),
        ("Events of the history", lambda s: _count(costs.events(s))),
        ("Stream workers (of at most 12)", lambda s: str(s.workers)),
        ("Processors all workers use at the peak", lambda s: f"{costs.cores_at_peak(s):.2g}"),
        (
            "Memory of a worker",
            lambda _: f"{costs.raw['resident_mebibytes']['stream_worker']} MiB + page cache",
        ),
        ("RocksDB, one worker (×2 for compaction)", lambda s: _bytes(costs.local_disk(s))),
        ("Event topics: history, 3 replicas", lambda s: _bytes(costs.event_disk(s))),
        ("Event topics: growth a year, 3 replicas", lambda s: _bytes(costs.event_growth(s))),
        ("`lifecycle.v1`, 3 replicas, half of it old", lambda s: _bytes(costs.state_disk(s))),
        ("`timeline.v1`, 3 replicas", lambda s: _bytes(costs.timeline_disk(s))),
        ("Redis (×1.4), without replica", lambda s: _bytes(costs.redis(s))),
        ("Network of the brokers at the peak", lambda s: f"{_bytes(costs.network_at_peak(s))}/s"),
        ("Folding the history, one processor a worker", lambda s: _hours(costs.history_hours(s))),
        ("Recovery of a worker with an empty disk", lambda s: _hours(costs.recovery_hours(s))),
        ("Read model from nothing, one projection", lambda s: _hours(costs.rebuild_hours(s))),
    ]


def scale_table(costs: Costs) -> str:
    """Return the table of the three scales."""
    lines = ["| | " + " | ".join(s.name for s in SCALES) + " |", "|---|" + "---|" * len(SCALES)]
    for name, value in rows(costs):
        lines.append(f"| {name} | " + " | ".join(value(s) for s in SCALES) + " |")
    return "\n".join(lines)


def unit_table(costs: Costs) -> str:
    """Return the table of unit costs."""
    raw = costs.raw
    sample, cpu, memory = raw["city"], raw["cpu_us_per_event"], raw["resident_mebibytes"]
    measured = f"{sample['entities']:,} entities, {sample['events']:,} events in bulk and "
    measured += f"{sample['live_events']} one by one; {raw['measured']}, commit {raw['commit']}"
    in_bulk = {name: size for name, size in raw["event_bytes_bulk"].items() if name != "all"}
    times = f"{cpu['stream_worker'] / 1000:.2f} / {cpu['projection'] / 1000:.2f} ms"
    told = {
        "Sample": measured,
        "Event on its topic, in bulk (lz4)": (
            f"{raw['event_bytes_bulk']['all']:,.0f} bytes ({_named(in_bulk)})"
        ),
        "The same, alone in its batch": f"{raw['event_bytes_alone']:,.0f} bytes",
        "Written for an event alone in its unit, before compaction": (
            f"{costs.outputs:,.0f} bytes ({_named(raw['output_bytes_alone'])})"
        ),
        "State of an entity, newest records": (
            f"{costs.state:,.0f} bytes ({_named(raw['state_bytes_per_entity'])}) "
            f"in {raw['state_records_per_entity']:.1f} records"
        ),
        "`timeline.v1`, an event": f"{raw['timeline_bytes_per_event']:,.0f} bytes",
        "Redis, an entity": f"{raw['redis_bytes_per_entity']:,.0f} bytes",
        "RocksDB with its local indexes, an entity": (
            f"{raw['local_disk_bytes_per_entity']:,.0f} bytes"
        ),
        "Processor time of an event, worker / projection": times,
        "Resident memory, worker / projection": (
            f"{memory['stream_worker']} / {memory['projection']} MiB"
        ),
        "Recovery of one worker": (
            f"{costs.recovery_rate:,.0f} records/s (from {costs.recovery_source})"
        ),
    }
    lines = [f"| {name} | {value} |" for name, value in told.items()]
    return "\n".join(["| Unit cost | Measured |", "|---|---|", *lines])


def _named(sizes: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {size:,.0f}" for name, size in sizes.items() if size >= 1)


def rendered(page: str, costs: Costs) -> str:
    """Return the page with its tables computed anew."""
    for name, table in (("unit costs", unit_table(costs)), ("scales", scale_table(costs))):
        begin = BEGIN.format(name)
        before, rest = page.split(begin, 1)
        page = f"{before}{begin}\n\n{table}\n\n{END}{rest.split(END, 1)[1]}"
    return page


def load() -> Costs:
    """Read what was measured."""
    benchmarks = json.loads(BENCHMARKS.read_text("utf-8")) if BENCHMARKS.exists() else {}
    return Costs(with_recovery_of(benchmarks, json.loads(COSTS.read_text("utf-8"))))


def _count(number: float) -> str:
    for size, unit in ((1e9, "bn"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number:.3g}"


def _bytes(number: float) -> str:
    for size, unit in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if number >= size:
            return f"{number / size:,.{0 if number >= 10 * size else 1}f} {unit}"
    return f"{number:.0f} B"


def _hours(hours: float) -> str:
    if hours < 1 / 60:
        return f"{hours * 3600:.0f} s"
    return f"{hours * 60:.0f} min" if hours < 1.5 else f"{hours:,.0f} h"


def _rates(costs: Costs, scale: Scale) -> str:
    mean = costs.per_second(scale)
    peak = mean * PEAK
    shown = f"{peak:.0f}" if peak >= 10 else f"{peak:.2g}"
    return f"{scale.events_a_day:,.0f} / {mean:.2g} / {shown}"


def main() -> int:
    """Write the page, or only compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; 1 if it would")
    arguments = parser.parse_args()
    page = PAGE.read_text("utf-8")
    new = rendered(page, load())
    if arguments.check:
        return int(new != page)
    PAGE.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
