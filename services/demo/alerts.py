"""Watching alerts the way a subscriber does: gRPC stream, cursor, reconnect (预警订阅)."""

import asyncio
from collections.abc import Callable

import grpc
from market_supervision.alerts.v1 import alert_service_pb2, alert_service_pb2_grpc
from market_supervision.alerts.v1.alert_pb2 import (
    Alert,
    AlertOutcome,
    AlertRecord,
    AlertTransition,
    Severity,
)

from services.importing.intake_client import open_channel

RECONNECT_SECONDS = 1.0
_AGAIN = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED}

SEVERITY_LABELS = {
    Severity.SEVERITY_BLUE: ("蓝", "blue"),
    Severity.SEVERITY_YELLOW: ("黄", "yellow"),
    Severity.SEVERITY_ORANGE: ("橙", "orange"),
    Severity.SEVERITY_RED: ("红", "red"),
}
TRANSITION_LABELS = {
    AlertTransition.ALERT_TRANSITION_RAISED: ("触发", "raised"),
    AlertTransition.ALERT_TRANSITION_CLOSED: ("关闭", "closed"),
    AlertTransition.ALERT_TRANSITION_REOPENED: ("重新触发", "reopened"),
}
OUTCOME_LABELS = {
    AlertOutcome.ALERT_OUTCOME_WITHDRAWN: ("依据撤回", "withdrawn"),
    AlertOutcome.ALERT_OUTCOME_RESOLVED: ("已消除", "resolved"),
    AlertOutcome.ALERT_OUTCOME_MERGED: ("主体归并", "merged"),
}


def transition_labels(record: AlertRecord) -> tuple[str, str]:
    """Return what happened to the thread, in Chinese and English."""
    zh, en = TRANSITION_LABELS[record.transition]
    outcome = OUTCOME_LABELS.get(record.alert.outcome)
    if record.transition == AlertTransition.ALERT_TRANSITION_CLOSED and outcome is not None:
        return f"{zh}·{outcome[0]}", f"{en}: {outcome[1]}"
    return zh, en


def severity_labels(alert: Alert) -> tuple[str, str]:
    """Return the level in Chinese and English."""
    return SEVERITY_LABELS.get(alert.severity, ("—", "-"))


async def watch(address: str, on_record: Callable[[AlertRecord], None]) -> None:
    """Call ``on_record`` for every alert record written from now on, until cancelled.

    A broken stream is taken up again at its cursor. Raises grpc.aio.AioRpcError for anything that
    does not pass by itself.
    """
    cursor = ""
    while True:
        async with open_channel(address) as channel:
            stub = alert_service_pb2_grpc.AlertServiceStub(channel)
            request = alert_service_pb2.WatchAlertsRequest(
                cursor=cursor, start=alert_service_pb2.WATCH_START_NOW
            )
            try:
                async for message in stub.WatchAlerts(request):
                    for record in message.records:
                        on_record(record)
                    cursor = message.cursor
            except grpc.aio.AioRpcError as error:
                if error.code() not in _AGAIN:
                    raise
        await asyncio.sleep(RECONNECT_SECONDS)
