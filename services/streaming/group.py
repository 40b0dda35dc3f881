"""What the brokers tell: whether they answer, who is in the workers' group, what it was given."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.client import AIOKafkaClient
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import KafkaError

_STABLE = "Stable"
"""The state in which every member has got its assignment, and none is being made."""


_ANSWER_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class GroupView:
    """The group at one moment; while an assignment is being made nobody owns anything."""

    stable: bool
    members: int
    owned: frozenset[TopicPartition]

    def ownerless(self, topics: Iterable[str], partition_count: int) -> set[TopicPartition]:
        """Return the topic-partitions that were assigned to nobody."""
        wanted = {TopicPartition(t, n) for t in topics for n in range(partition_count)}
        return wanted - self.owned


async def view_group(app_id: str, bootstrap: str) -> GroupView:
    """Ask the group's coordinator; raises aiokafka's errors."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        responses = await admin.describe_consumer_groups([app_id])
    finally:
        await admin.close()
    _error, _group, state, _type, _protocol, members, *_ = responses[0].groups[0]
    assignments = [
        ConsumerProtocolMemberAssignment.decode(assignment)
        for _id, _client, _host, _metadata, assignment in members
        if assignment
    ]
    owned = frozenset(tp for assignment in assignments for tp in assignment.partitions())
    return GroupView(state == _STABLE, len(members), owned)


async def brokers_answer(bootstrap: str) -> bool:
    """Tell whether any broker answers who connects now, as a worker that is started again would."""
    client = AIOKafkaClient(bootstrap_servers=bootstrap)
    try:
        await asyncio.wait_for(client.bootstrap(), _ANSWER_TIMEOUT_S)
    except (KafkaError, TimeoutError):
        return False
    finally:
        await client.close()
    return True
