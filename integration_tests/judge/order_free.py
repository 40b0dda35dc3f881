"""O3b: the reference fold does not depend on order and repetition (the judge checks itself)."""

import random

from google.protobuf.message import Message

from integration_tests.judge.canonical import bytes_of, digest_of
from integration_tests.judge.reference.records import picture, records_of
from integration_tests.judge.reference.slots import Slots, winners
from integration_tests.judge.sequence import History
from integration_tests.judge.verdict import Verdict

SHUFFLES = 2


def check_order_free(history: History, verdict: Verdict, seed: int = 1) -> None:
    """O3b: the same facts shuffled and repeated come to the same (this checks the judge itself)."""
    events = history.applied
    calm = _overall(winners(events))
    for shuffle in range(SHUFFLES):
        chance = random.Random(seed + shuffle)
        again = [*events, *chance.sample(events, len(events) // 5)]
        chance.shuffle(again)
        if _overall(winners(again)) != calm:
            verdict.add("O3b", "another order comes to another view", seed=seed + shuffle)
    verdict.made("O3b")


def _overall(slots: Slots) -> str:
    records: dict[bytes, Message] = {}
    for entity_key in slots.entities:
        records.update(records_of(slots, entity_key, picture(slots, entity_key)))
    return digest_of((key, bytes_of(message)) for key, message in records.items())
