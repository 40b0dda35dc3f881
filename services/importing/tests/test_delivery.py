"""Delivery to an intake that takes the stream and falls silent."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from market_supervision.complaints.v1 import complaints_intake_service_pb2 as messages
from market_supervision.complaints.v1.complaints_events_pb2 import ComplaintEvent
from market_supervision.intake.v1.intake_pb2 import Receipt, SubmissionOutcome

from services.importing import delivery, outcomes
from services.importing.delivery import Delivery
from services.importing.endpoints import Endpoints
from services.importing.errors import OutcomeUnknownError

SILENCE_SECONDS = 0.2
PATIENCE_SECONDS = 0.8


class SilentIntake:
    """Answers the first events of its first stream, and then nothing, on any stream."""

    def __init__(self, answers: int) -> None:
        self._answers = answers
        self.streams = 0

    async def stream_submit(
        self,
        request_iterator: AsyncIterator[Any],
        context: grpc.aio.ServicerContext[Any, Any],  # noqa: ARG002 - part of the interface
    ) -> AsyncIterator[Any]:
        """Take every event; see the contract."""
        self.streams += 1
        async for request in request_iterator:
            if self._answers:
                self._answers -= 1
                outcome = SubmissionOutcome(sequence=request.sequence, receipt=Receipt(offset=1))
                yield messages.StreamSubmitResponse(outcome=outcome)
        await asyncio.Event().wait()


async def deliver(intake: SilentIntake, events: int) -> int:
    """Send events one after the other, each when the one before is settled; return how many were.

    The pause between two lets the stream wait with nothing outstanding.
    """
    server = grpc.aio.server()
    handler = grpc.stream_stream_rpc_method_handler(
        intake.stream_submit,
        request_deserializer=messages.StreamSubmitRequest.FromString,
        response_serializer=messages.StreamSubmitResponse.SerializeToString,
    )
    service = messages.DESCRIPTOR.services_by_name["ComplaintsIntakeService"].full_name
    generic = grpc.method_handlers_generic_handler(service, {"StreamSubmit": handler})
    server.add_generic_rpc_handlers((generic,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    settled: list[outcomes.Final] = []
    try:
        endpoints = Endpoints({"complaints": f"127.0.0.1:{port}"}, "test")
        async with asyncio.timeout(20), Delivery(endpoints, patience_s=PATIENCE_SECONDS) as sending:
            for number in range(events):
                sending.submit("complaints", number, ComplaintEvent(), settled.append)
                try:
                    while len(settled) == number:
                        await sending.changed()
                except OutcomeUnknownError:
                    break
                await asyncio.sleep(SILENCE_SECONDS / 4)
    finally:
        await server.stop(None)
    return len(settled)


@pytest.mark.parametrize("answers", [0, 1, 2])
def test_delivery_to_a_silent_intake_gives_up_after_its_patience(
    monkeypatch: pytest.MonkeyPatch, answers: int
) -> None:
    """Also when the stream owed nothing at the moment it began to wait for the next answer."""
    monkeypatch.setattr(delivery, "SILENCE_SECONDS_MAX", SILENCE_SECONDS)
    intake = SilentIntake(answers)
    assert asyncio.run(deliver(intake, events=3)) == answers
    assert intake.streams > 1
