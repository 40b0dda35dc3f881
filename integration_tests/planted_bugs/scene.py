"""A small system of real processes, one of them patched, and the evidence of what it did."""

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from integration_tests.judge.accounting import applied_offsets
from integration_tests.judge.evidence import Evidence
from integration_tests.judge.judgement import judge
from integration_tests.judge.raw_log import CONTROL, EVENT_TOPICS, read_log
from integration_tests.judge.verdict import Verdict
from integration_tests.nemesis.stage import StagedSystem
from integration_tests.planted_bugs.facts import Log
from integration_tests.system.support import ALL_DAYS, publish_rules
from services.local.health import answers_serving
from services.local.run_directory import owned_run_directory
from services.local.waiting import poll_until
from services.runtime.kafka_topics import ensure_topics

WAIT_SECONDS = 150.0
STRIKE_SECONDS = 3.0


@dataclass
class Scene:
    """One system under a topic prefix of its own; used as a context, it ends what it started."""

    bootstrap: str
    redis_url: str
    directory: Path
    prefix: str
    patches: Mapping[str, str] = field(default_factory=dict)
    """Child name → patch under which it runs."""
    recordings: list[Path] = field(default_factory=list)
    exit_codes: list[int] = field(default_factory=list)
    """Of children that ended and came back, as `wait` met them."""

    def __post_init__(self) -> None:
        """Describe the system; nothing is started."""
        extra = {
            "MARKET_SUPERVISION_LIFECYCLE__SESSION_SECONDS": "6",
            "MARKET_SUPERVISION_PROFILES__WATCH__CHECKPOINT_SECONDS": "1",
        }
        self.system = StagedSystem(
            self.directory, self.bootstrap, self.redis_url, self.prefix, extra
        )
        module = "integration_tests.planted_bugs.run_with"
        self.system.wrappers = {
            name: (module, patch, str(self.memory(name))) for name, patch in self.patches.items()
        }
        self._owned = owned_run_directory(self.directory)

    def __enter__(self) -> Self:
        """Make the topics and publish the rules; the prefix must stand in the environment."""
        self._owned.__enter__()
        ensure_topics(self.bootstrap)
        publish_rules(self.bootstrap, max_age_days=ALL_DAYS)
        self.log = Log(self.bootstrap, self.history)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.log.__exit__(kind, error, at)
        self.system.stop()
        self._owned.__exit__(kind, error, at)

    @property
    def history(self) -> Path:
        """What was sent."""
        return self.directory / "history.jsonl"

    def memory(self, name: str) -> Path:
        """By what the lives of a patched child know of one another."""
        return self.directory / f"{name}.memory"

    def wait_remembered(self, name: str) -> None:
        """Wait until a patch has done what it does once."""
        self.wait(self.memory(name).exists, f"the patch of {name} has struck")

    def strikes_soon(self, name: str) -> bool:
        """Return whether a patch does what it does within a short time."""
        with suppress(TimeoutError):
            poll_until(self.memory(name).exists, timeout_seconds=STRIKE_SECONDS, what="a strike")
        return self.memory(name).exists()

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        """Look after the children until a condition holds."""

        def holds() -> bool:
            self.exit_codes += [end.exit_code for end in self.system.supervisor.check()]
            return condition()

        poll_until(holds, timeout_seconds=WAIT_SECONDS, what=what, interval_seconds=0.5)

    def start_worker(self, name: str = "lifecycle-0") -> None:
        """Start a stream worker and wait until it is ready."""
        self.system.start(name)
        self.wait(partial(self._is_ready, name), f"{name} is ready")

    def _is_ready(self, name: str) -> bool:
        return bool(self.system.worker_status(name).get("ready"))

    def start_service(self, name: str) -> str:
        """Start a service that serves, and return its address once it does."""
        self.system.start(name)
        self.wait(lambda: answers_serving(self.address(name)), f"{name} is serving")
        return self.address(name)

    def address(self, name: str) -> str:
        """Where a service listens; a place where nobody does while it does not."""
        try:
            port = json.loads((self.directory / f"{name}.ready.json").read_text())["port"]
        except (OSError, ValueError):
            port = 1
        return f"127.0.0.1:{port}"

    def says_all_taken(self, worker: str) -> bool:
        """Whether a worker says of itself that it took every record of its source topics."""
        partitions: Any = self.system.worker_status(worker).get("partitions", {})
        log = read_log(self.bootstrap, self.prefix)
        there = len(log.events) + len(log.records[CONTROL])
        return sum(int(part["records"]) for part in partitions.values()) >= there

    def wait_applied(self) -> None:
        """Wait until the state stands at the end of every event topic."""
        self.wait(self._is_applied, "everything on the log is applied")

    def _is_applied(self) -> bool:
        log = read_log(self.bootstrap, self.prefix)
        applied = applied_offsets(log)
        return all(
            applied.get((topic, partition), 0) == log.ends[topic, partition]
            for topic in EVENT_TOPICS
            for partition in range(log.partitions)
        )

    def judge(self, *, redis: bool = False, profiles: bool = False) -> Verdict:
        """Judge what the system did."""
        evidence = Evidence(
            bootstrap=self.bootstrap,
            topic_prefix=self.prefix,
            redis_url=self.redis_url if redis else None,
            profiles_address=self.address("profiles") if profiles else None,
            history=self.history,
            recordings=self.recordings,
            answers=None,
        )
        evidence.save(self.directory)
        return judge(evidence)
