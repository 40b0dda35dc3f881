"""The complaints intake: `python -m services.complaints`."""

from market_supervision.complaints.v1 import complaints_intake_service_pb2 as messages
from market_supervision.complaints.v1.complaints_intake_service_pb2_grpc import (
    add_ComplaintsIntakeServiceServicer_to_server,
)

from services.intake.service import main

if __name__ == "__main__":
    main(
        "complaints",
        messages.DESCRIPTOR.services_by_name["ComplaintsIntakeService"],
        add_ComplaintsIntakeServiceServicer_to_server,
        messages,
    )
