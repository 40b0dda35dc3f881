"""Finding entities by their keys."""

from collections.abc import Sequence

import pytest
from market_supervision.lifecycle.v1.state_pb2 import EntityState

from services.contracts import topics
from services.contracts.key_schemes import load_key_schemes
from services.profiles.entity_query import (
    LINKED_KEYS_MAX,
    find_entities,
    key_of_name,
    source_freshness,
)
from services.readmodel.freshness import PartitionReading
from services.readmodel.positions import Heads
from services.readmodel.reader import EntityReading
from services.runtime.errors import EntityKeyInvalidError
from services.streaming.meta import Applied

NOTHING = PartitionReading({}, None)


class MemoryReader:
    """Entities and links in memory; counts the questions."""

    def __init__(self, links: dict[str, str], states: Sequence[str]) -> None:
        self._links = links
        self._states = set(states)
        self.questions = 0

    async def entities(self, entity_keys: Sequence[str]) -> list[EntityReading]:
        """Return what is known under each key."""
        self.questions += 1
        return [
            EntityReading(
                entity_key=key,
                partition=0,
                state=EntityState(entity_key=key) if key in self._states else None,
                linked_to=self._links.get(key, ""),
                aliases=tuple(sorted(a for a, to in self._links.items() if to == key)),
                freshness=NOTHING,
            )
            for key in entity_keys
        ]


async def _find(
    links: dict[str, str], states: Sequence[str], *keys: str
) -> tuple[list[tuple[str, tuple[str, ...], str]], int]:
    reader = MemoryReader(links, states)
    found = await find_entities(reader, keys)  # type: ignore[arg-type]
    return (
        [(f.root_key, f.linked_keys, f.state.entity_key if f.state else "") for f in found],
        reader.questions,
    )


async def test_entity_without_links_is_found_with_one_question() -> None:
    """The usual case costs one pipeline, however many keys are asked."""
    found, questions = await _find({}, ["a", "b"], "a", "b", "c")

    assert found == [("a", (), "a"), ("b", (), "b"), ("c", (), "")]
    assert questions == 1


async def test_chain_of_links_is_one_entity_by_every_key() -> None:
    """Each key of a chain leads to the same root and names the others."""
    found, _ = await _find({"a": "b", "b": "c", "x": "c"}, ["a", "c"], "a", "b", "c", "x")

    assert found == [
        ("c", ("a", "b", "x"), "c"),
        ("c", ("a", "b", "x"), "c"),
        ("c", ("a", "b", "x"), "c"),
        ("c", ("a", "b", "x"), "c"),
    ]


async def test_root_without_facts_shows_those_of_its_old_key() -> None:
    """Just after a link all facts still stand under the old key."""
    found, _ = await _find({"a": "b"}, ["a"], "a", "b")

    assert found == [("b", ("a",), "a"), ("b", ("a",), "a")]


async def test_facts_under_a_linked_key_stay_reachable_once_the_root_has_some() -> None:
    """The first event under the new key hides nothing of what stands under the old ones."""
    reader = MemoryReader({"a": "b", "c": "b", "d": "b"}, ["a", "b", "d"])
    for asked in ("a", "b", "c"):
        (found,) = await find_entities(reader, [asked])  # type: ignore[arg-type]

        assert found.state is not None
        assert found.state.entity_key == "b"
        assert list(found.unmerged) == ["a", "d"]
        assert found.unmerged["a"].entity_key == "a"


def test_freshness_of_several_partitions_is_that_of_the_oldest() -> None:
    """An answer made of linked keys is as old as its oldest part."""
    topic = topics.name("complaints.v1")
    readings = {
        3: PartitionReading({topic: Applied(5, 9_000)}, Heads(9_500, {topic: 5})),
        7: PartitionReading({topic: Applied(2, 4_000)}, Heads(9_500, {topic: 6})),
    }
    (entry,) = [f for f in source_freshness(readings, 10_000) if f.family == "complaints"]

    assert (entry.partition, entry.next_offset, entry.lag_records) == (7, 2, 4)
    assert entry.lag_seconds == 6.0


async def test_circle_of_links_has_one_root_for_all_its_keys() -> None:
    """Sources can contradict one another; the answer must not depend on who asks."""
    found, _ = await _find({"a": "b", "b": "c", "c": "b"}, ["a", "b", "c"], "a", "b", "c")

    assert [root for root, _, _ in found] == ["b", "b", "b"]
    assert found[0] == found[1] == found[2]


async def test_root_with_many_aliases_names_a_bounded_number() -> None:
    """An answer is bounded, however many keys were given up for one."""
    links = {f"k{number:03d}": "root" for number in range(200)}
    ((root, linked, _),), _ = await _find(links, ["root"], "root")

    assert root == "root"
    assert len(linked) <= LINKED_KEYS_MAX


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("entities/uscc:91442000XX00000010", "uscc:91442000XX00000010"),
        ("entities/uscc:91442000xx00000010", "uscc:91442000XX00000010"),
        ("entities/ｕｓｃｃ：９１４４２０００ＸＸ００００００１０", "uscc:91442000XX00000010"),
        ("entities/regno:442000000000001", "regno:442000000000001"),
    ],
)
def test_key_of_any_spelling_is_canonical(name: str, key: str) -> None:
    """Full-width characters and small letters are put right."""
    assert key_of_name(name, load_key_schemes()) == key


@pytest.mark.parametrize(
    "name", ["entities/uscc:91442000XX00000011", "entities/nobody:1", "entities/uscc"]
)
def test_key_that_is_none_is_refused(name: str) -> None:
    """The reason is told in both languages."""
    with pytest.raises(EntityKeyInvalidError) as refused:
        key_of_name(name, load_key_schemes())

    assert refused.value.message_en
    assert refused.value.message_zh
