"""The registration intake: `python -m services.registration`."""

from market_supervision.registration.v1 import registration_intake_service_pb2 as messages
from market_supervision.registration.v1.registration_intake_service_pb2_grpc import (
    add_RegistrationIntakeServiceServicer_to_server,
)

from services.intake.service import main

if __name__ == "__main__":
    main(
        "registration",
        messages.DESCRIPTOR.services_by_name["RegistrationIntakeService"],
        add_RegistrationIntakeServiceServicer_to_server,
        messages,
    )
