"""Whether a gRPC service serves, asked of itself."""

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

ANSWER_SECONDS = 2.0


def answers_serving(address: str) -> bool:
    """Return whether a gRPC service at an address says that it serves, within two seconds."""
    with grpc.insecure_channel(address) as channel:
        try:
            check = health_pb2_grpc.HealthStub(channel).Check
            answer = check(health_pb2.HealthCheckRequest(), timeout=ANSWER_SECONDS)
        except grpc.RpcError:
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)
