"""A system on the synthetic city's log, and somebody who asks it for profiles all the time."""

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from market_supervision.profiles.v1 import entity_profile_service_pb2 as profiles
from market_supervision.profiles.v1.entity_profile_service_pb2_grpc import EntityProfileServiceStub

from integration_tests.system.city_log import Feed, Written, make_time_lapse_topics
from integration_tests.system.support import ALL_DAYS, publish_rules
from services.contracts.topics import TOPIC_PREFIX_VARIABLE
from services.local.run_directory import owned_run_directory
from services.local.system import LocalSystem

SESSION_SECONDS = "6"


@contextmanager
def city_system(
    kafka_bootstrap: str, redis_url: str, directory: Path, begins_ms: int
) -> Iterator[LocalSystem]:
    """Yield a system, nothing of it started, on topics of its own that take the writer's times.

    The rules are published, and look back as far as the log goes. ``extra`` of the system is a
    dictionary: what is put there holds for services started from then on.
    """
    prefix = f"{directory.name}."
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(TOPIC_PREFIX_VARIABLE, prefix)
        make_time_lapse_topics(kafka_bootstrap)
        publish_rules(kafka_bootstrap, max_age_days=ALL_DAYS, timestamp_ms=begins_ms - 1)
        extra = {"MARKET_SUPERVISION_LIFECYCLE__SESSION_SECONDS": SESSION_SECONDS}
        with owned_run_directory(directory / "system"):
            system = LocalSystem(directory / "system", kafka_bootstrap, redis_url, prefix, extra)
            try:
                yield system
            finally:
                system.stop()


def feed(kafka_bootstrap: str, records: Sequence[Written]) -> None:
    """Append records at once."""
    feeding = Feed(kafka_bootstrap, records, is_read=False)
    feeding.start()
    feeding.finish()


class Asking(threading.Thread):
    """Asks for known entities one after the other, and counts the kinds of answers."""

    def __init__(self, address: str, names: list[str]) -> None:
        super().__init__(name="asking", daemon=True)
        self._address, self._names = address, names
        self._enough = threading.Event()
        self.answers: Counter[str] = Counter()

    def run(self) -> None:
        """Ask until told to stop."""
        with grpc.insecure_channel(self._address) as channel:
            stub = EntityProfileServiceStub(channel)
            while not self._enough.wait(0.02):
                name = self._names[self.answers.total() % len(self._names)]
                try:
                    stub.GetEntityProfile(
                        profiles.GetEntityProfileRequest(name=f"entities/{name}"), timeout=30
                    )
                    self.answers["answered"] += 1
                except grpc.RpcError as error:
                    self.answers[error.code().name] += 1

    def stop(self) -> Counter[str]:
        """Stop asking; return how often each kind of answer came."""
        self._enough.set()
        self.join(60)
        return self.answers
