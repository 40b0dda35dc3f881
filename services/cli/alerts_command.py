"""msctl alerts: early warnings, as a list, one, or as they fire (风险预警)."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import grpc
import typer
from google.protobuf.json_format import MessageToDict
from market_supervision.alerts.v1 import alert_service_pb2 as messages
from market_supervision.alerts.v1.alert_pb2 import AlertFilter, AlertState, Phase, Severity
from market_supervision.alerts.v1.alert_service_pb2_grpc import AlertServiceStub

from services.cli.addresses import EndpointOption, address
from services.cli.exit_codes import ExitCode
from services.cli.failures import describe, reported
from services.cli.output import Output, OutputOption, fail, note, print_record, print_records

DEADLINE_SECONDS = 15.0
RECONNECT_SECONDS = (0.5, 1.0, 2.0, 5.0)
LIST_COLUMNS = ("raisedTime", "severity", "ruleId", "entityKey", "entityName", "title", "alertId")

_TRY_AGAIN = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED})

app = typer.Typer(no_args_is_help=True, help="Early warnings. 风险预警")

DivisionOption = Annotated[
    list[str] | None, typer.Option("--division", help="Division code or its beginning. 行政区划")
]
IndustryOption = Annotated[
    list[str] | None, typer.Option("--industry", help="Industry code or its beginning. 行业")
]
SeverityOption = Annotated[
    list[str] | None, typer.Option("--severity", help="blue, yellow, orange, red. 级别")
]
RuleOption = Annotated[list[str] | None, typer.Option("--rule", help="Rule id. 规则")]
EntityOption = Annotated[list[str] | None, typer.Option("--entity", help="scheme:value. 主体")]
PhaseOption = Annotated[
    list[str] | None, typer.Option("--phase", help="prevent, warn, remedy. 阶段")
]
StateOption = Annotated[list[str] | None, typer.Option("--state", help="open, closed. 状态")]


@app.command("list")
def list_(
    division: DivisionOption = None,
    industry: IndustryOption = None,
    severity: SeverityOption = None,
    rule: RuleOption = None,
    entity: EntityOption = None,
    phase: PhaseOption = None,
    state: StateOption = None,
    limit: Annotated[int, typer.Option(min=1, help="Alerts at most. 条数上限")] = 50,
    output: OutputOption = Output.TABLE,
    endpoint: EndpointOption = None,
) -> None:
    """List alerts, newest first; options of one kind mean any of them (预警列表)."""
    wanted = alert_filter(division, industry, severity, rule, entity, phase, state)
    with reported(), grpc.insecure_channel(address("profiles", endpoint)) as channel:
        found = _pages(AlertServiceStub(channel), wanted, limit)
        records = (
            row(alert) if output is Output.TABLE else MessageToDict(alert) for alert in found
        )
        print_records(records, LIST_COLUMNS, output, title="alerts (预警)")


@app.command()
def get(
    alert_id: Annotated[str, typer.Argument(help="Id of the alert. 预警编号")],
    output: OutputOption = Output.TABLE,
    endpoint: EndpointOption = None,
) -> None:
    """Show one alert with its reason, facts and legal basis (预警详情)."""
    with reported(), grpc.insecure_channel(address("profiles", endpoint)) as channel:
        request = messages.GetAlertRequest(alert_id=alert_id)
        answer = AlertServiceStub(channel).GetAlert(request, timeout=DEADLINE_SECONDS)
    print_record(MessageToDict(answer.alert), output, title=f"alert {alert_id} (预警)")


@app.command()
def watch(
    division: DivisionOption = None,
    industry: IndustryOption = None,
    severity: SeverityOption = None,
    rule: RuleOption = None,
    entity: EntityOption = None,
    phase: PhaseOption = None,
    state: StateOption = None,
    cursor_file: Annotated[
        Path | None, typer.Option(help="Where to keep the place reached, and go on from. 游标文件")
    ] = None,
    from_start: Annotated[
        bool, typer.Option("--from-start", help="Begin with the first alert ever. 从头开始")
    ] = False,
    count: Annotated[
        int | None, typer.Option(min=1, help="End after so many records. 条数后结束")
    ] = None,
    output: OutputOption = Output.TABLE,
    endpoint: EndpointOption = None,
) -> None:
    """Show alerts as they fire, until Ctrl-C (实时预警).

    With --cursor-file the next watch with the same filter goes on where this one ended. The file is
    written after the records were printed: none is missed, and a crash in between repeats some.
    """
    wanted = alert_filter(division, industry, severity, rule, entity, phase, state)
    cursor = _read_cursor(cursor_file)
    start = messages.WATCH_START_EARLIEST if from_start else messages.WATCH_START_NOW
    with grpc.insecure_channel(address("profiles", endpoint)) as channel:
        stub = AlertServiceStub(channel)
        printed = 0
        try:
            for answer in _watch(stub, wanted, cursor, start):
                for record in answer.records:
                    _print_event(record, output)
                    printed += 1
                _write_cursor(cursor_file, answer.cursor)
                if count is not None and printed >= count:
                    return
        except KeyboardInterrupt:
            raise typer.Exit(ExitCode.INTERRUPTED) from None


def alert_filter(
    division: list[str] | None,
    industry: list[str] | None,
    severity: list[str] | None,
    rule: list[str] | None,
    entity: list[str] | None,
    phase: list[str] | None,
    state: list[str] | None,
) -> AlertFilter:
    """Return the filter of the options; ends the command for a word no enum has."""
    return AlertFilter(
        division_prefixes=division or [],
        industry_prefixes=industry or [],
        severities=[_number(Severity, "SEVERITY", word) for word in severity or []],
        rule_ids=rule or [],
        entity_keys=entity or [],
        phases=[_number(Phase, "PHASE", word) for word in phase or []],
        states=[_number(AlertState, "ALERT_STATE", word) for word in state or []],
    )


def _number(enum: Any, prefix: str, word: str) -> Any:
    name = f"{prefix}_{word.upper()}"
    values = dict(enum.items())
    if name not in values or values[name] == 0:
        known = ", ".join(
            known.removeprefix(f"{prefix}_").lower() for known, number in values.items() if number
        )
        fail(f"{word}: not one of {known} (可选值: {known})", ExitCode.USAGE)
    return values[name]


def row(alert: Any) -> dict[str, Any]:
    """Return what a table shows of an alert."""
    document = MessageToDict(alert)
    return {
        **document,
        "severity": document.get("severity", "").removeprefix("SEVERITY_").lower(),
        "ruleId": document.get("rule", {}).get("ruleId", ""),
        "title": alert.title.zh or alert.title.en,
    }


def _pages(stub: Any, wanted: AlertFilter, limit: int) -> Iterator[Any]:
    token = ""
    while limit > 0:
        request = messages.ListAlertsRequest(
            filter=wanted, page_size=min(limit, 500), page_token=token
        )
        page = stub.ListAlerts(request, timeout=DEADLINE_SECONDS)
        yield from page.alerts[:limit]
        limit -= len(page.alerts)
        token = page.next_page_token
        if not token:
            return


def _watch(stub: Any, wanted: AlertFilter, cursor: str, start: Any) -> Iterator[Any]:
    """Yield every answer, opening the stream again from the last cursor when it breaks."""
    failures = 0
    while True:
        request = messages.WatchAlertsRequest(filter=wanted, cursor=cursor, start=start)
        try:
            for answer in stub.WatchAlerts(request):
                failures = 0
                cursor = answer.cursor or cursor
                yield answer
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.OUT_OF_RANGE:
                fail(f"{describe(error)}; delete the cursor file to begin anew", ExitCode.FAILED)
            if error.code() not in _TRY_AGAIN:
                with reported():
                    raise
            pause = RECONNECT_SECONDS[min(failures, len(RECONNECT_SECONDS) - 1)]
            note(f"{describe(error)}; again in {pause} s (将重连)")
            failures += 1
            time.sleep(pause)


def _print_event(record: Any, output: Output) -> None:
    if output is not Output.TABLE:
        print_record(MessageToDict(record), Output.JSONL)
        return
    alert = record.alert
    shown = row(alert)
    transition = MessageToDict(record).get("transition", "").removeprefix("ALERT_TRANSITION_")
    typer.echo(
        f"{shown.get('updateTime', '')} {transition.lower()} {shown['severity']} "
        f"{shown['ruleId']} {alert.entity_key} {alert.entity_name} {shown['title']}: "
        f"{alert.reason.zh or alert.reason.en}"
    )


def _read_cursor(path: Path | None) -> str:
    if path is None or not path.exists():
        return ""
    return path.read_text(encoding="utf-8").strip()


def _write_cursor(path: Path | None, cursor: str) -> None:
    if path is None or not cursor:
        return
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("w", encoding="utf-8") as stream:
        stream.write(cursor)
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(path)
