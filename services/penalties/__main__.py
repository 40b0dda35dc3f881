"""The penalties intake: `python -m services.penalties`."""

from market_supervision.penalties.v1 import penalties_intake_service_pb2 as messages
from market_supervision.penalties.v1.penalties_intake_service_pb2_grpc import (
    add_PenaltiesIntakeServiceServicer_to_server,
)

from services.intake.service import main

if __name__ == "__main__":
    main(
        "penalties",
        messages.DESCRIPTOR.services_by_name["PenaltiesIntakeService"],
        add_PenaltiesIntakeServiceServicer_to_server,
        messages,
    )
