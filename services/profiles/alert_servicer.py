"""AlertService: lists and single threads from the read model, watches from the alerts topic."""

import asyncio
from collections.abc import Sequence

from grpc import aio
from market_supervision.alerts.v1 import alert_service_pb2 as api
from market_supervision.alerts.v1.alert_pb2 import AlertFilter
from market_supervision.alerts.v1.alert_service_pb2_grpc import AlertServiceServicer

from services.contracts.alert_filter import digest, matcher, problems
from services.profiles import tokens
from services.profiles.alert_log import AlertItem
from services.profiles.alert_query import alert_page
from services.profiles.cursor import Positions
from services.profiles.profile_view import timestamp
from services.profiles.read_errors import reading_model
from services.profiles.watches import Watches
from services.readmodel.alert_index import MEMBER_BYTES
from services.readmodel.reader import ReadModelReader
from services.runtime.errors import (
    AlertNotFoundError,
    FieldInvalidError,
    FieldViolation,
    SubscriberTooSlowError,
)
from services.runtime.validation import validate

PAGE_SIZE_DEFAULT = 50
PAGE_SIZE_MAX = 500

WatchContext = aio.ServicerContext[api.WatchAlertsRequest, api.WatchAlertsResponse]


class AlertServicer(AlertServiceServicer):
    """Answers about alerts."""

    def __init__(self, reader: ReadModelReader, watches: Watches) -> None:
        self._reader = reader
        self._watches = watches

    async def ListAlerts(
        self,
        request: api.ListAlertsRequest,
        context: aio.ServicerContext[api.ListAlertsRequest, api.ListAlertsResponse],
    ) -> api.ListAlertsResponse:
        """List alert threads, newest first."""
        del context
        validate(request)
        check_filter(request.filter)
        asked = tokens.request_digest(b"alerts", digest(request.filter))
        with reading_model():
            page = await alert_page(
                self._reader,
                request.filter,
                before=tokens.decode(request.page_token, asked, MEMBER_BYTES),
                limit=min(request.page_size or PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX),
            )
        response = api.ListAlertsResponse(alerts=page.alerts)
        if page.last_member is not None:
            response.next_page_token = tokens.encode(asked, page.last_member)
        return response

    async def GetAlert(
        self,
        request: api.GetAlertRequest,
        context: aio.ServicerContext[api.GetAlertRequest, api.GetAlertResponse],
    ) -> api.GetAlertResponse:
        """Get one alert thread."""
        del context
        validate(request)
        with reading_model():
            (thread,) = await self._reader.alerts([request.alert_id])
        if thread is None:
            raise AlertNotFoundError(
                f"no alert has the id {request.alert_id!r}",
                f"没有编号为 {request.alert_id!r} 的预警",
                metadata={"alert_id": request.alert_id},
            )
        return api.GetAlertResponse(alert=thread.alert)

    # The generated signature knows generators only; grpc.aio also takes a coroutine that writes,
    # and only its writes can be given up when the subscriber does not read.
    async def WatchAlerts(  # type: ignore[override]
        self, request: api.WatchAlertsRequest, context: WatchContext
    ) -> None:
        """Stream every matching record from a cursor, or a start, on."""
        validate(request)
        check_filter(request.filter)
        sender = _Sender(self._watches, request.filter, context)
        await self._watches.watch(
            matches=matcher(request.filter),
            filter_digest=digest(request.filter),
            cursor=request.cursor,
            earliest=request.start == api.WatchStart.WATCH_START_EARLIEST,
            send=sender.send,
        )


class _Sender:
    """Writes to one subscriber, and cuts him when he takes nothing for too long."""

    def __init__(self, watches: Watches, alert_filter: AlertFilter, context: WatchContext) -> None:
        self._watches = watches
        self._filter_digest = digest(alert_filter)
        self._context = context
        self._last_cursor = ""
        self._progress_ms = 0

    async def send(self, items: Sequence[AlertItem], positions: Positions) -> None:
        cursor = self._watches.cursor(self._filter_digest, positions)
        self._progress_ms = max([self._progress_ms, *(item.append_ms for item in items)])
        response = api.WatchAlertsResponse(
            records=[item.record for item in items], cursor=cursor, checkpoint=not items
        )
        if self._progress_ms:
            response.progress_time.CopyFrom(timestamp(self._progress_ms))
        writing = asyncio.ensure_future(self._context.write(response))
        done, _ = await asyncio.wait({writing}, timeout=self._watches.settings.stall_seconds)
        if not done:
            # The message under way may still arrive: the cursor after it is his last one then.
            raise SubscriberTooSlowError(
                "the subscriber reads too slowly; resume with the last cursor received",
                "订阅方读取过慢，请用收到的最后一个游标续订",
                metadata={"cursor": self._last_cursor},
            )
        await writing
        self._last_cursor = cursor


def check_filter(alert_filter: AlertFilter) -> None:
    """Raise FieldInvalidError naming every value of a filter that cannot be used."""
    found = problems(alert_filter)
    if not found:
        return
    violations = [
        FieldViolation(
            field=f"filter.{problem.field}",
            message_en=f"{problem.reason_en} (got {problem.value!r})",
            message_zh=f"{problem.reason_zh}（实际为 {problem.value!r}）",
        )
        for problem in found
    ]
    raise FieldInvalidError(
        "; ".join(f"{item.field}: {item.message_en}" for item in violations),
        "；".join(f"{item.field}：{item.message_zh}" for item in violations),
        violations=violations,
    )
