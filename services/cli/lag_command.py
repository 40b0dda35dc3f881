"""msctl lag: how far the stream workers are behind the log, partition by partition."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer
from kafka import TopicPartition

from services.cli import missing_topics
from services.cli.addresses import EndpointOption, address
from services.cli.exit_codes import ExitCode
from services.cli.failures import reported
from services.cli.output import JsonOption, Output, OutputOption, fail, print_records
from services.cli.positions import (
    Position,
    applied,
    committed_reader,
    existing,
    oldest_waiting_ms,
    owners,
)
from services.contracts import topics
from services.contracts.families import SOURCE_TOPICS
from services.runtime.clock import now_ms

COLUMNS = (
    "topic",
    "partition",
    "end",
    "applied",
    "lag",
    "lag_s",
    "unit",
    "unit_age_s",
    "owner",
)


def show_lag(
    *,
    behind: Annotated[
        bool, typer.Option("--behind", help="Only what is behind. 仅列出落后的分区")
    ] = False,
    max_seconds: Annotated[
        float | None,
        typer.Option(
            "--max-seconds",
            min=0,
            help="End with 7 when a record has waited longer. 超过该秒数则退出码为 7",
        ),
    ] = None,
    output: OutputOption = Output.TABLE,
    as_json: JsonOption = False,
    endpoint: EndpointOption = None,
) -> None:
    """Show how far the stream workers are behind the end of every source topic (处理延迟).

    `applied` is what the committed state contains (META in lifecycle.v1, not group offsets);
    `lag` counts offsets up to the last committed record, `lag_s` is how long the
    oldest of them has been on the log; `unit_age_s` is since the partition's last commit.
    The read model's own lag stands in every profile's freshness and in the projection's metrics.

    Exit codes: 0 told, 7 a record has waited longer than --max-seconds or a topic is missing, 3 the
    broker is away.
    """
    bootstrap_servers = address("kafka", endpoint)
    with reported():
        rows, absent = _rows(bootstrap_servers)
    shown = [row for row in rows if row["lag"]] if behind else rows
    print_records(shown, COLUMNS, Output.JSON if as_json else output, title="lag (处理延迟)")
    missing_topics.refuse(absent)
    worst = max((row["lag_s"] for row in rows), default=0.0)
    if max_seconds is not None and worst > max_seconds:
        message = f"a record has waited {worst:.0f} s, more than {max_seconds:g} (处理落后)"
        fail(message, ExitCode.DIFFERS)


def _rows(bootstrap_servers: str) -> tuple[list[dict[str, Any]], list[str]]:
    """Return a row for every source partition there is, and the topics that are not there."""
    with committed_reader(bootstrap_servers) as consumer:
        absent = missing_topics.missing(consumer)
        positions = applied(consumer)
        sources = existing(consumer, SOURCE_TOPICS)
        ends = consumer.end_offsets(sources)
        starts = {tp: _next_offset(positions, tp) for tp in sources}
        begins = consumer.beginning_offsets(sources)
        waiting = {tp: max(at, begins[tp]) for tp, at in starts.items() if at < ends[tp]}
        oldest = oldest_waiting_ms(consumer, waiting, ends)
    now = now_ms()
    owner_of = owners(bootstrap_servers)
    return [_row(tp, positions, ends, oldest, owner_of, now) for tp in sources], absent


def _next_offset(positions: Mapping[int, Position], tp: TopicPartition) -> int:
    position = positions.get(tp.partition)
    return 0 if position is None else position.meta.next_offset(tp.topic) or 0


def _row(
    tp: TopicPartition,
    positions: Mapping[int, Position],
    ends: Mapping[TopicPartition, int],
    oldest: Mapping[TopicPartition, int],
    owner_of: Mapping[int, str],
    now: int,
) -> dict[str, Any]:
    position = positions.get(tp.partition)
    next_offset = _next_offset(positions, tp)
    behind = tp in oldest
    age_s = None if position is None else round(max(0, now - position.committed_ms) / 1000, 1)
    return {
        "topic": topics.short_name(tp.topic),
        "partition": tp.partition,
        "end": ends[tp],
        "applied": next_offset,
        "lag": ends[tp] - next_offset if behind else 0,
        "lag_s": round(max(0, now - oldest[tp]) / 1000, 1) if behind else 0.0,
        "unit": None if position is None else position.meta.unit,
        "unit_age_s": age_s,
        "owner": owner_of.get(tp.partition),
    }
