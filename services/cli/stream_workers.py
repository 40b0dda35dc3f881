"""What must not be alive while the state is deleted: the stream workers (流处理进程)."""

from typing import Any

from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient

from services.cli.exit_codes import ExitCode
from services.cli.output import fail
from services.cli.positions import REQUEST_TIMEOUT_MS
from services.contracts import topics
from services.contracts.topics import PARTITIONS


def admin_client(bootstrap_servers: str) -> KafkaAdminClient:
    """Return an administrator's connection that gives up soon."""
    return KafkaAdminClient(
        bootstrap_servers=bootstrap_servers,
        request_timeout_ms=REQUEST_TIMEOUT_MS,
        bootstrap_timeout_ms=REQUEST_TIMEOUT_MS,
    )


def refuse_living(bootstrap_servers: str, app_id: str) -> None:
    """End the command if a stream worker is a member of any group.

    In a group that rebalances, a member that has just come says neither what it wants nor what it
    has: of the group ``app_id`` every member counts.
    """
    control = topics.name("control.v1")
    with admin_client(bootstrap_servers) as admin:
        active = [g["group_id"] for g in admin.list_groups() if g["group_state"] != "Empty"]
        groups = admin.describe_groups(active) if active else {}
    for group, described in groups.items():
        for member in described["members"]:
            if group == app_id or control in _topics_of(member):
                worker = f"{member['client_id']}@{member['client_host'].lstrip('/')}"
                fail(
                    f"{worker} of {group} is still a member: stop the stream workers first; "
                    "a killed one leaves after its session time (请先停止流处理进程)",
                    ExitCode.USAGE,
                )


def _topics_of(member: dict[str, Any]) -> set[str]:
    """Return what a member subscribes to or has."""
    assigned = (member["member_assignment"] or {}).get("assigned_partitions", ())
    metadata = member.get("member_metadata")
    subscribed = metadata.get("topics", ()) if isinstance(metadata, dict) else ()
    return {*(each["topic"] for each in assigned), *subscribed}


def fence(bootstrap_servers: str, app_id: str) -> None:
    """Take the transactional ids of the workers away from any that is paused beyond its session.

    It is no member of the group any more, and would write a unit of the old state into the new
    topic when it wakes up.
    """
    for partition in range(PARTITIONS):
        producer = KafkaProducer(
            bootstrap_servers=bootstrap_servers,
            transactional_id=f"{app_id}-{partition}",
            max_block_ms=REQUEST_TIMEOUT_MS,
        )
        try:
            producer.init_transactions()
        finally:
            producer.close()
