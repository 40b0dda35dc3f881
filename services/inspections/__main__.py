"""The inspections intake: `python -m services.inspections`."""

from market_supervision.inspections.v1 import inspections_intake_service_pb2 as messages
from market_supervision.inspections.v1.inspections_intake_service_pb2_grpc import (
    add_InspectionsIntakeServiceServicer_to_server,
)

from services.intake.service import main

if __name__ == "__main__":
    main(
        "inspections",
        messages.DESCRIPTOR.services_by_name["InspectionsIntakeService"],
        add_InspectionsIntakeServiceServicer_to_server,
        messages,
    )
