"""msctl dead-letters: what could not be folded, and its way back in (死信处理)."""

import datetime as dt
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import grpc
import typer
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from google.protobuf.message import DecodeError, Message

from services.cli.addresses import EndpointOption, address
from services.cli.exit_codes import ExitCode
from services.cli.failures import reported
from services.cli.output import Output, OutputOption, fail, note, print_record, print_records
from services.cli.topic_reading import TopicRecord, read_record, read_topic
from services.contracts import topics
from services.contracts.families import FAMILIES, SET_BY_INTAKE, Family, FamilyEvent, arm_of
from services.importing.intake_client import CLIENT_METADATA, INTAKE_CLIENTS

TOPIC: Final = "dead-letter.v1"
DEADLINE_SECONDS: Final = 15.0
COLUMNS: Final = ("id", "time", "reason", "source", "event", "entity", "reason_zh")

app = typer.Typer(no_args_is_help=True, help="Records that could not be folded. 死信")

IdArgument = Annotated[
    str, typer.Argument(help="Id as listed: partition:offset of the dead letter. 死信编号")
]


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A dead letter taken apart (死信)."""

    record: TopicRecord
    family: Family | None
    """Family of the topic it came from; None for other topics."""
    event: FamilyEvent | None
    """None when the bytes are no event."""

    @classmethod
    def of(cls, record: TopicRecord) -> "DeadLetter":
        """Take a record of the dead-letter topic apart."""
        source = record.headers.get("dlq-topic", b"").decode()
        names = {topics.name(family.topic): family for family in FAMILIES}
        family = names.get(source)
        return cls(record, family, _decode(family, record.value))

    @property
    def id(self) -> str:
        """What the commands call it."""
        return f"{self.record.partition}:{self.record.offset}"

    def header(self, name: str) -> str:
        """Return a header as text."""
        return self.record.headers.get(f"dlq-{name}", b"").decode(errors="replace")

    def summary(self) -> dict[str, Any]:
        """Return what a list shows."""
        moment = dt.datetime.fromtimestamp(self.record.timestamp_ms / 1000, dt.UTC)
        place = f"{self.header('topic')}/{self.header('partition')}/{self.header('offset')}"
        return {
            "id": self.id,
            "time": moment.isoformat(timespec="seconds"),
            "reason": self.header("reason"),
            "reason_en": self.header("reason-en"),
            "reason_zh": self.header("reason-zh"),
            "source": place,
            "entity": self.record.key.decode(errors="replace"),
            "event": (arm_of(self.event) or "") if self.event is not None else "",
        }


def _decode(family: Family | None, value: bytes | None) -> FamilyEvent | None:
    if family is None or not value:
        return None
    try:
        return family.parse(value)
    except DecodeError:
        return None


@app.command("list")
def list_(output: OutputOption = Output.TABLE, endpoint: EndpointOption = None) -> None:
    """List all dead letters (死信列表)."""
    with reported():
        print_records(
            (letter.summary() for letter in _all(address("kafka", endpoint))),
            COLUMNS,
            output,
            title="dead letters (死信)",
        )


@app.command()
def show(
    letter_id: IdArgument, output: OutputOption = Output.JSON, endpoint: EndpointOption = None
) -> None:
    """Show one dead letter with its reason, headers and event, or its bytes (死信详情)."""
    letter = _find(letter_id, endpoint)
    told = letter.summary()
    told["headers"] = {
        name: value.decode(errors="backslashreplace")
        for name, value in letter.record.headers.items()
    }
    if letter.event is not None:
        told["event"] = MessageToDict(letter.event)
    else:
        told["value_hex"] = (letter.record.value or b"").hex()
    print_record(told, output, title=f"dead letter {letter.id} (死信)")


@app.command()
def mend(
    letter_id: IdArgument,
    to: Annotated[Path, typer.Option("--to", help="File to write the event to. 输出文件")],
    endpoint: EndpointOption = None,
) -> None:
    """Write the event of a dead letter to a file, to be edited and replayed (导出待修正).

    The version is raised by one: the log already holds the old one, and an intake would answer with
    its receipt and change nothing.
    """
    letter = _find(letter_id, endpoint)
    if letter.event is None:
        fail(
            f"{letter.id}: its bytes are no event; write the event by hand and use "
            "`msctl import --family` (内容不是事件, 请手工编写后导入)",
            ExitCode.FAILED,
        )
    event = _as_request(letter.event)
    event.envelope.source_version += 1
    document = json.dumps(MessageToDict(event), ensure_ascii=False, indent=2)
    to.write_text(document + "\n", encoding="utf-8")
    note(
        f"{letter.id}: written to {to}; edit it, then: msctl dead-letters replay {letter.id} "
        f"--event {to} (请修改后重放)"
    )


@app.command()
def replay(
    letter_id: IdArgument,
    event_file: Annotated[
        Path | None, typer.Option("--event", help="Mended event; else the original. 修正后的事件")
    ] = None,
    output: OutputOption = Output.TABLE,
    endpoint: EndpointOption = None,
) -> None:
    """Send an event through the intake of its family, mended or as it was (重放)."""
    letter = _find(letter_id, endpoint)
    if letter.family is None:
        source = letter.header("topic")
        fail(f"{letter.id}: no intake takes records of {source} (无对应接收服务)", ExitCode.FAILED)
    if event_file is not None:
        event = _parse(letter.family, event_file)
    elif letter.event is not None:
        event = _as_request(letter.event)
    else:
        fail(f"{letter.id}: its bytes are no event; give --event (内容不是事件)", ExitCode.USAGE)
    receipt = _submit(letter.family.name, event, endpoint)
    told = MessageToDict(receipt, always_print_fields_with_no_presence=True)
    print_record(told, output, title=f"receipt (回执) {letter.id}")
    place = (letter.header("topic"), letter.header("partition"), letter.header("offset"))
    if (receipt.topic, str(receipt.partition), str(receipt.offset)) == place:
        note(
            "the log held this version already, so nothing changed; mend it under a higher "
            "source_version (该版本已在日志中, 未产生变化; 请提高source_version)"
        )


def _all(bootstrap_servers: str) -> Iterator[DeadLetter]:
    for record in read_topic(bootstrap_servers, TOPIC):
        yield DeadLetter.of(record)


def _find(letter_id: str, endpoint: list[str] | None) -> DeadLetter:
    partition, separator, offset = letter_id.partition(":")
    if not (separator and partition.isdecimal() and offset.isdecimal()):
        fail(f"{letter_id}: not partition:offset (应为 分区:位点)", ExitCode.USAGE)
    with reported():
        record = read_record(address("kafka", endpoint), TOPIC, int(partition), int(offset))
    if record is None:
        fail(f"{letter_id}: no such dead letter (无此死信)", ExitCode.NOT_FOUND)
    return DeadLetter.of(record)


def _as_request(event: FamilyEvent) -> FamilyEvent:
    """Return the event as its source would send it: without what the intake sets."""
    request = type(event)()
    request.CopyFrom(event)  # type: ignore[arg-type] # the same class on both sides
    if request.envelope.HasField("submitted_entity_key"):
        request.envelope.entity_key.CopyFrom(request.envelope.submitted_entity_key)
    for name in SET_BY_INTAKE:
        request.envelope.ClearField(name)
    return request


def _parse(family: Family, path: Path) -> FamilyEvent:
    event = family.message_class()
    try:
        ParseDict(json.loads(path.read_text(encoding="utf-8")), event)
    except (OSError, ValueError, ParseError) as error:
        fail(f"{path}: not an event of {family.name} (不是合法的事件): {error}", ExitCode.USAGE)
    return event


def _submit(family: str, event: Message, endpoint: list[str] | None) -> Any:
    client = INTAKE_CLIENTS[family]
    with reported(), grpc.insecure_channel(address(family, endpoint)) as channel:
        request = client.messages.SubmitRequest(event=event)
        answer = client.stub_class(channel).Submit(
            request, timeout=DEADLINE_SECONDS, metadata=CLIENT_METADATA
        )
    return answer.receipt
