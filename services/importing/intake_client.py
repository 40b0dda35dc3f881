"""The generated clients of the four intake services, by family name."""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import grpc
from market_supervision.complaints.v1 import (
    complaints_intake_service_pb2,
    complaints_intake_service_pb2_grpc,
)
from market_supervision.inspections.v1 import (
    inspections_intake_service_pb2,
    inspections_intake_service_pb2_grpc,
)
from market_supervision.penalties.v1 import (
    penalties_intake_service_pb2,
    penalties_intake_service_pb2_grpc,
)
from market_supervision.registration.v1 import (
    registration_intake_service_pb2,
    registration_intake_service_pb2_grpc,
)

CLIENT_METADATA = (("x-client-id", "msctl"),)

MESSAGE_BYTES_MAX = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class IntakeClient:
    """What is needed to talk to one family's intake."""

    stub_class: Any
    messages: Any
    """Generated module with the request messages, alike for all four families."""

    def stub(self, channel: grpc.aio.Channel) -> Any:
        """Return the stub on a channel."""
        return self.stub_class(channel)


INTAKE_CLIENTS: MappingProxyType[str, IntakeClient] = MappingProxyType(
    {
        "registration": IntakeClient(
            registration_intake_service_pb2_grpc.RegistrationIntakeServiceStub,
            registration_intake_service_pb2,
        ),
        "inspections": IntakeClient(
            inspections_intake_service_pb2_grpc.InspectionsIntakeServiceStub,
            inspections_intake_service_pb2,
        ),
        "complaints": IntakeClient(
            complaints_intake_service_pb2_grpc.ComplaintsIntakeServiceStub,
            complaints_intake_service_pb2,
        ),
        "penalties": IntakeClient(
            penalties_intake_service_pb2_grpc.PenaltiesIntakeServiceStub,
            penalties_intake_service_pb2,
        ),
    }
)


def open_channel(address: str) -> grpc.aio.Channel:
    """Open a channel with the limits the services have; no message goes beyond this machine."""
    return grpc.aio.insecure_channel(
        address,
        options=[
            ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
            ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
            # Reconnect at the pace of the back-off above it, not at gRPC's own of up to 2 minutes.
            ("grpc.initial_reconnect_backoff_ms", 200),
            ("grpc.max_reconnect_backoff_ms", 2_000),
        ],
    )
