"""The group's assignor, as the engine sets it: every partition owned once, nobody without need.

Faust's own assignor is run, with what each member remembers of the assignment before.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.coordinator.protocol import ConsumerProtocolMemberMetadata
from faust.assignor.client_assignment import ClientMetadata
from faust.assignor.partition_assignor import PartitionAssignor

from services.streaming import engine
from services.streaming.settings import EngineSettings

TOPICS = {"control", "red", "green"}
PARTITIONS = 12


CLUSTER: Any = SimpleNamespace(partitions_for_topic=lambda _: set(range(PARTITIONS)))
"""All that the assignor asks of the cluster."""


class Group:
    """Members that come and go; what they remember goes with them, and comes back with them."""

    def __init__(self, directory: Path) -> None:
        app: Any = engine._faust_app("app", "localhost:9", directory, EngineSettings())
        self._leader: PartitionAssignor = app.assignor
        self._remembered: dict[str, Any] = {}

    def assign(self, members: Sequence[str]) -> dict[str, set[int]]:
        """Return the partition numbers of each member, the same for all topics."""
        newcomer = self._leader.metadata(TOPICS)
        metadata = {m: self._remembered.get(m, newcomer) for m in members}
        found = self._leader.assign(CLUSTER, metadata)
        numbers = {}
        for member, assignment in found.items():
            told = ClientMetadata.loads(PartitionAssignor._decompress(assignment.user_data))
            self._remembered[member] = ConsumerProtocolMemberMetadata(
                newcomer.version, newcomer.subscription, told.dumps()
            )
            of_topic = {topic: set(partitions) for topic, partitions in assignment.assignment}
            assert set(of_topic) == TOPICS
            numbers[member] = of_topic["control"]
            assert all(owned == numbers[member] for owned in of_topic.values())
        return numbers


def check(owned: dict[str, set[int]]) -> None:
    """Every partition has one owner, and every member has one where there are enough."""
    counts = Counter(number for numbers in owned.values() for number in numbers)
    assert counts == dict.fromkeys(range(PARTITIONS), 1)
    sizes = sorted(len(numbers) for numbers in owned.values())
    assert sizes[0] >= 1 or len(owned) > PARTITIONS


def test_nobody_is_without_a_partition_while_there_are_enough(tmp_path: Path) -> None:
    """Workers join one by one, up to one more than there are partitions, and leave again."""
    group = Group(tmp_path)
    members = [f"worker-{n}" for n in range(PARTITIONS + 1)]
    for count in range(1, len(members) + 1):
        check(group.assign(members[:count]))
    for count in range(len(members), 0, -1):
        check(group.assign(members[:count]))


@pytest.mark.parametrize("count", range(2, PARTITIONS + 2))
def test_member_that_leaves_and_comes_back_leaves_nobody_without(
    tmp_path: Path, count: int
) -> None:
    """What it remembers is another's by now; it may not be given twice."""
    group = Group(tmp_path)
    members = [f"worker-{n}" for n in range(count)]
    check(group.assign(members))
    for gone in members:
        check(group.assign([m for m in members if m != gone]))
        check(group.assign(members))
