"""msctl digest: one checksum of the live view, and whether it is another one than before."""

import json
import tempfile
from collections.abc import Iterator, Mapping
from itertools import islice, zip_longest
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from google.protobuf.message import DecodeError

from services.cli import missing_topics
from services.cli.addresses import EndpointOption, address
from services.cli.exit_codes import ExitCode
from services.cli.failures import reported
from services.cli.output import JsonOption, Output, OutputOption, fail, print_record
from services.cli.positions import STATE_TOPIC, committed_reader, existing
from services.cli.reading_progress import ReadingProgress
from services.cli.state_on_disk import StateOnDisk
from services.cli.topic_reading import TopicRecord, read_topic
from services.contracts import topics
from services.contracts.state_keys import StateKeyError
from services.contracts.topics import PARTITIONS
from services.lifecycle.digest import total_digest

NAMED_MAX: Final = 20
"""Entities that differ or are doubled, and are named."""
DOUBLED: Final = "in_several_partitions"
COMPARED: Final = ("total", "partitions", "entities", "records")
"""An entity that moved to another partition changes the partitions only; one that is doubled, the
counts."""


def show_digest(
    *,
    entities: Annotated[
        bool, typer.Option("--entities", help="Also the digest of every entity. 逐个主体")
    ] = False,
    compare: Annotated[
        Path | None,
        typer.Option(
            "--compare",
            metavar="FILE",
            help="An earlier `msctl digest --json`; end with 7 if it is another. 与先前结果比较",
        ),
    ] = None,
    work_folder: Annotated[
        Path | None,
        typer.Option(
            "--work-folder",
            help="Where the state is held while it is read: as big as the state. 临时目录",
        ),
    ] = None,
    output: OutputOption = Output.JSON,
    as_json: JsonOption = False,
    endpoint: EndpointOption = None,
) -> None:
    """Digest the committed live view: equal facts, equal digest, whatever happened (视图摘要).

    SHA-256 over the latest record of each key, without offsets and append times; one for all
    entities and one a partition. Memory does not grow with the state (with --entities it does).

    Exit codes: 0 told, 7 not the digest of --compare, an entity stands in several partitions, or
    there is no state topic, 1 a record cannot be read, 3 the broker is away.
    """
    before = _earlier(compare)
    bootstrap_servers = address("kafka", endpoint)
    if work_folder is not None and not work_folder.is_dir():
        fail(f"--work-folder {work_folder}: no such folder (目录不存在)", ExitCode.USAGE)
    try:
        with reported(), tempfile.TemporaryDirectory(dir=work_folder) as folder:
            told = _digest(bootstrap_servers, Path(folder), entities=entities)
    except (StateKeyError, DecodeError) as error:
        fail(f"the state cannot be read (状态无法解析): {error}", ExitCode.FAILED)
    print_record(told, Output.JSON if as_json else output, title="digest (视图摘要)")
    wrong = [f"{name} in partitions {at} (主体重复)" for name, at in told[DOUBLED].items()]
    if before is not None and (differing := _differences(before, told)):
        wrong.append(f"not the view of {compare} (视图不一致): {differing}")
    if wrong:
        fail("; ".join(wrong), ExitCode.DIFFERS)


def _digest(bootstrap_servers: str, folder: Path, *, entities: bool) -> dict[str, Any]:
    with StateOnDisk(folder) as state:
        state.take(_shown(bootstrap_servers))
        parts = [state.digest_partition(partition) for partition in range(PARTITIONS)]
        told: dict[str, Any] = {
            "topic": topics.name(STATE_TOPIC),
            "total": total_digest(state.entities(range(PARTITIONS))),
            "entities": sum(part.entities for part in parts),
            "records": sum(part.records for part in parts),
            "partitions": [part.digest for part in parts],
            DOUBLED: {
                name.decode(): numbers
                for name, numbers in islice(state.doubled(range(PARTITIONS)), NAMED_MAX)
            },
        }
        if entities:
            told["digest_by_entity"] = {
                name.decode(): digest for name, digest in state.entities(range(PARTITIONS))
            }
        return told


def _shown(bootstrap_servers: str) -> Iterator[TopicRecord]:
    """Read the state topic and show how far."""
    with committed_reader(bootstrap_servers) as consumer:
        missing_topics.refuse(missing_topics.missing(consumer, [STATE_TOPIC]))
        there = existing(consumer, [STATE_TOPIC])
        begins, ends = consumer.beginning_offsets(there), consumer.end_offsets(there)
    at = {tp.partition: begins[tp] for tp in there}
    done, offsets = 0, sum(ends[tp] - begins[tp] for tp in there)
    with ReadingProgress(STATE_TOPIC, offsets) as progress:
        for record in read_topic(bootstrap_servers, STATE_TOPIC):
            done += record.offset + 1 - at.get(record.partition, 0)
            at[record.partition] = record.offset + 1
            progress.show(done)
            yield record


def _earlier(file: Path | None) -> Mapping[str, Any] | None:
    if file is None:
        return None
    try:
        document = dict(json.loads(file.read_text("utf-8")))
    except (OSError, ValueError, TypeError) as error:
        fail(f"--compare {file}: {error} (无法读取)", ExitCode.USAGE)
    kinds = {"total": str, "partitions": list, "entities": int, "records": int}
    if not all(isinstance(document.get(name), kind) for name, kind in kinds.items()):
        fail(f"--compare {file}: not an output of `msctl digest` (不是摘要文件)", ExitCode.USAGE)
    return document


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Say what differs; empty when the views are equal."""
    if all(before[name] == now[name] for name in COMPARED):
        return ""
    pairs = zip_longest(before["partitions"], now["partitions"])
    numbers = [str(number) for number, (old, new) in enumerate(pairs) if old != new]
    said = [f"partitions {', '.join(numbers)}"] if numbers else []
    counts = [name for name in ("entities", "records") if before[name] != now[name]]
    said += [f"{now[name]} {name} instead of {before[name]}" for name in counts]
    old, new = before.get("digest_by_entity"), now.get("digest_by_entity")
    if isinstance(old, dict) and isinstance(new, dict):
        names = sorted(name for name in old | new if old.get(name) != new.get(name))
        said.append(f"{len(names)} entities: {', '.join(names[:NAMED_MAX])}")
    return "; ".join(said) or "the total"
