"""What a person sees: a live screen on a terminal, plain lines elsewhere (演示界面)."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from types import TracebackType
from typing import Self

from market_supervision.alerts.v1.alert_pb2 import AlertRecord, AlertTransition
from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from services.contracts.families import FAMILIES
from services.demo.alerts import severity_labels, transition_labels
from services.demo.gauges import Lag

SHOWN_ALERTS = 12
"""Newest alerts kept for the screen; a small terminal shows fewer."""
ROWS_WITHOUT_ALERTS = 14
ROWS_AN_ALERT = 5
PLAIN_EVERY_SECONDS = 5.0
_STYLES = {"blue": "blue", "yellow": "yellow", "orange": "dark_orange", "red": "bold red"}


@dataclass(slots=True)
class View:
    """What the screen shows at one moment."""

    phase: str = ""
    day: date | None = None
    delivered: int = 0
    total: int = 0
    accepted: Mapping[str, int] = field(default_factory=dict)
    rates: Mapping[str, float] = field(default_factory=dict)
    lag: Lag = field(default_factory=lambda: Lag(-1, -1))
    raised: int = 0
    closed: int = 0


class Screen:
    """Shows the view and the alerts; notes go by in order. Use as a context manager."""

    def __init__(self, console: Console, *, plain: bool) -> None:
        """Describe the screen; ``plain`` prints lines only, for pipes and CI."""
        self._console = console
        self._live = None if plain else Live(console=console, refresh_per_second=4)
        self._recent: deque[AlertRecord] = deque(maxlen=SHOWN_ALERTS)
        self._plain_at = float("-inf")
        self._plain_line = ""

    def __enter__(self) -> Self:
        """Take the terminal over."""
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the terminal back."""
        if self._live is not None:
            self._live.stop()

    def note(self, text: str) -> None:
        """Say something that stays."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def alert(self, record: AlertRecord) -> None:
        """Show an alert record."""
        self._recent.appendleft(record)
        if self._live is None:
            self.note(_alert_line(record))

    def show(self, view: View, now: float) -> None:
        """Show the view; ``now`` in monotonic seconds decides when a plain line is due."""
        if self._live is not None:
            self._live.update(Group(_table(view), self._alerts()))
        elif now - self._plain_at >= PLAIN_EVERY_SECONDS:
            self._plain_at = now
            line = _status_line(view)
            if line != self._plain_line:
                self._plain_line = line
                self.note(line)

    def _alerts(self) -> Panel:
        room = max(1, (self._console.size.height - ROWS_WITHOUT_ALERTS) // ROWS_AN_ALERT)
        lines = [_alert_text(record) for record in list(self._recent)[:room]]
        body = Group(*lines) if lines else Text("尚无预警 / none yet", style="dim")
        return Panel(body, title="预警 / Alerts", border_style="red" if lines else "dim")


def _lag_text(records: int) -> str:
    return "…" if records < 0 else f"{records:,}"


def _status_line(view: View) -> str:
    rate = sum(view.rates.values())
    return (
        f"[{view.phase}] day {view.day or '-'}  sent {view.delivered:,}/{view.total:,}  "
        f"intake {rate:,.0f}/s  stream lag {_lag_text(view.lag.stream)}  "
        f"view lag {_lag_text(view.lag.view)}  alerts raised {view.raised} closed {view.closed}"
    )


def _table(view: View) -> Panel:
    table = Table(expand=True, box=None)
    table.add_column("来源 / family")
    table.add_column("已接收 / accepted", justify="right")
    table.add_column("每秒 / per second", justify="right")
    for family in FAMILIES:
        table.add_row(
            f"{family.label.zh} / {family.name}",
            f"{view.accepted.get(family.name, 0):,}",
            f"{view.rates.get(family.name, 0.0):,.1f}",
        )
    lag = Text(
        f"城市日期 / city day {view.day or '—'}    "
        f"已报送 / sent {view.delivered:,} of {view.total:,}\n"
        f"流处理积压 / stream lag {_lag_text(view.lag.stream)}    "
        f"画像积压 / view lag {_lag_text(view.lag.view)}    "
        f"预警 / alerts: {view.raised} 触发 raised, {view.closed} 关闭 closed"
    )
    return Panel(Group(table, lag), title=view.phase)


def _alert_text(record: AlertRecord) -> Text:
    zh, en = transition_labels(record)
    level_zh, level_en = severity_labels(record.alert)
    raised = record.transition != AlertTransition.ALERT_TRANSITION_CLOSED
    style = _STYLES.get(level_en, "") if raised else "green"
    text = Text()
    text.append(f"● {level_zh} {level_en}  {zh} {en}  ", style=style)
    text.append(f"{record.alert.rule.rule_id}  {record.alert.entity_key}\n")
    text.append(f"  {record.alert.reason.zh}\n  {record.alert.reason.en}", style="dim")
    return text


def _alert_line(record: AlertRecord) -> str:
    zh, en = transition_labels(record)
    level_zh, level_en = severity_labels(record.alert)
    alert = record.alert
    return (
        f"ALERT {en} / 预警{zh} [{level_en} {level_zh}] {alert.rule.rule_id} "
        f"{alert.entity_key} {alert.entity_name}\n"
        f"      {alert.reason.zh}\n      {alert.reason.en}"
    )
