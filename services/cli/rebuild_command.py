"""msctl rebuild: make the state again from the record alone, publishing nothing twice (重建)."""

import time
from typing import Annotated, Any

import typer
from kafka import TopicPartition
from kafka.errors import TopicAlreadyExistsError

from services.cli import missing_topics, stream_workers
from services.cli.addresses import EndpointOption, address
from services.cli.exit_codes import ExitCode
from services.cli.failures import reported
from services.cli.output import Output, OutputOption, fail, note, print_records
from services.cli.positions import (
    STATE_TOPIC,
    applied,
    committed_reader,
    existing,
)
from services.cli.stream_workers import admin_client
from services.contracts import topics
from services.contracts.families import SOURCE_TOPICS
from services.contracts.topics import CATALOGUE, PARTITIONS
from services.lifecycle.settings import app_id_of
from services.runtime.kafka_topics import durability_of, ensure_topics

COLUMNS = ("partition", "state", "applied", "of", "percent", "withheld", "differing")
DELETION_SECONDS_MAX = 60.0
ALLOW = "MARKET_SUPERVISION_LIFECYCLE__REBUILD=allow"

app = typer.Typer(
    no_args_is_help=True,
    help="Make the state again from the record alone, publishing nothing twice. 从原始记录重建状态",
)


@app.command("start")
def start(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask. 不再确认")] = False,
    app_id: Annotated[
        str, typer.Option(help="APP_ID of the workers, if one is set. 流处理应用标识")
    ] = "",
    endpoint: EndpointOption = None,
) -> None:
    """Delete the state (`lifecycle.v1`) and create it empty; then workers may rebuild it.

    Refused while a stream worker lives (one that only sleeps is fenced), and where an event topic
    has lost its beginning: then the state could not be made again. Alerts, dead letters and all
    events stay. What answers queries goes on from the state as it was, and says how old that is.
    """
    bootstrap_servers = address("kafka", endpoint)
    with reported():
        workers = app_id or app_id_of(topics.state_version())
        stream_workers.refuse_living(bootstrap_servers, workers)
        records = _refuse_lost_beginnings(bootstrap_servers)
        if not yes:
            question = (
                f"delete {topics.name(STATE_TOPIC)} and fold {records} records again? (重建？)"
            )
            typer.confirm(question, abort=True, err=True)
        stream_workers.fence(bootstrap_servers, workers)
        # Once more: a supervisor may have started one while the question was open.
        stream_workers.refuse_living(bootstrap_servers, workers)
        _make_anew(bootstrap_servers)
    note(
        f"{topics.name(STATE_TOPIC)} is empty. Now start the stream workers with {ALLOW}, and "
        "watch `msctl rebuild status --follow` (状态已清空，请以该设置启动流处理进程)"
    )


@app.command("status")
def status(
    follow: Annotated[
        bool, typer.Option("--follow", help="Until every partition is rebuilt. 持续显示")
    ] = False,
    interval: Annotated[float, typer.Option(min=0.5, help="Seconds between looks. 间隔秒数")] = 5.0,
    output: OutputOption = Output.TABLE,
    endpoint: EndpointOption = None,
) -> None:
    """Show how far the rebuild is, by partition, and with --follow when it will be done.

    `withheld` counts alerts and dead letters that stood there already; `differing` those of them
    that came out with other bytes than stand there. Exit code 3 while a partition is not rebuilt,
    7 if a topic is missing, 1 if a position cannot be read.
    """
    bootstrap_servers = address("kafka", endpoint)
    earlier: tuple[float, int] | None = None
    while True:
        with reported():
            rows = _progress(bootstrap_servers)
        print_records(rows, COLUMNS, output, title="rebuild (重建)")
        done = sum(row["applied"] for row in rows)
        whole = sum(row["of"] for row in rows)
        now = time.monotonic()
        if all(row["state"] == "whole" for row in rows):
            return
        if not follow:
            raise typer.Exit(ExitCode.UNREACHABLE)
        if earlier is not None and done > earlier[1]:
            rate = (done - earlier[1]) / (now - earlier[0])
            left = max(0, whole - done) / rate
            note(f"{done} of {whole}, {rate:.0f} records/s, about {left:.0f} s left (剩余秒数)")
        earlier = now, done
        time.sleep(interval)


def _refuse_lost_beginnings(bootstrap_servers: str) -> int:
    """End the command if a source topic lost records; return how many records there are."""
    with committed_reader(bootstrap_servers) as consumer:
        sources = existing(consumer, SOURCE_TOPICS)
        begins, ends = consumer.beginning_offsets(sources), consumer.end_offsets(sources)
    lost = [tp for tp in sources if begins[tp] > 0]
    if len(sources) < len(SOURCE_TOPICS) * PARTITIONS or lost:
        shown = ", ".join(f"{tp.topic}/{tp.partition} from {begins[tp]}" for tp in lost[:3])
        fail(
            f"the record is not whole ({shown or 'a source topic is missing'}): the state could "
            "not be made again, nothing was deleted (原始记录不完整，未作任何删除)",
            ExitCode.FAILED,
        )
    return sum(ends.values())


def _make_anew(bootstrap_servers: str) -> None:
    """Delete the state topic and create it as the catalogue says, as durable as the timeline.

    Killed in between, the same command again creates it.
    """
    name = topics.name(STATE_TOPIC)
    with admin_client(bootstrap_servers) as admin:
        durability = durability_of(admin, topics.name("timeline.v1"))
        if name in admin.list_topics():
            admin.delete_topics([name])
    deadline = time.monotonic() + DELETION_SECONDS_MAX
    while True:
        try:
            with admin_client(bootstrap_servers) as admin:
                gone = name not in admin.list_topics()
            if gone and ensure_topics(
                bootstrap_servers,
                catalogue=[CATALOGUE[STATE_TOPIC]],
                durability=durability,
            ):
                return
        except TopicAlreadyExistsError:
            pass  # the broker is still deleting it
        if time.monotonic() > deadline:
            fail(f"{name} is not deleted yet; repeat the command (仍在删除)", ExitCode.UNREACHABLE)
        time.sleep(0.5)


def _progress(bootstrap_servers: str) -> list[dict[str, Any]]:
    with committed_reader(bootstrap_servers) as consumer:
        missing_topics.refuse(missing_topics.missing(consumer))
        sources = existing(consumer, SOURCE_TOPICS)
        ends = consumer.end_offsets(sources)
        positions = applied(consumer)
    return [_row(number, positions.get(number), ends) for number in range(PARTITIONS)]


def _row(number: int, position: Any, ends: dict[TopicPartition, int]) -> dict[str, Any]:
    mine = {tp.topic: end for tp, end in ends.items() if tp.partition == number}
    if position is None:
        done, state, rebuild = 0, "not begun" if any(mine.values()) else "whole", None
    else:
        rebuild = position.meta.rebuild
        wanted = mine if rebuild is None else rebuild.sources
        done = sum(min(position.meta.next_offset(topic) or 0, end) for topic, end in wanted.items())
        mine, state = wanted, "whole" if rebuild is None else "rebuilding"
    whole = sum(mine.values())
    return {
        "partition": number,
        "state": state,
        "applied": done,
        "of": whole,
        "percent": round(100 * done / whole, 1) if whole else 100.0,
        "withheld": None if rebuild is None else rebuild.withheld,
        "differing": None if rebuild is None else rebuild.differing,
    }
