"""What the judge is given of a run, and the file in which a run directory says so."""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from integration_tests.judge.history import Place

RUN_FILE = "evidence.json"
OF_ANY_RUN = frozenset({"O1", "O2", "O3", "O3b", "O4", "O9"})
"""Checks for which a history and the topics are enough."""


@dataclass(frozen=True)
class Evidence:
    """Where the traces of a run are. The system must have come to rest before it is judged."""

    bootstrap: str
    """Kafka's bootstrap servers."""
    topic_prefix: str
    """What stands before every topic name; empty: the prefix of production."""
    redis_url: str | None
    """The read model; None: not judged."""
    profiles_address: str | None
    """gRPC address of the profile service; None: not judged."""
    history: Path
    """What clients submitted and were answered; see `history.HistoryWriter`."""
    recordings: Sequence[Path]
    """One file an alert subscriber; see `recordings.RecordingWriter`."""
    answers: Path | None
    """Profiles answered during the run; see `answer_log.AnswerWriter`. None: not judged."""
    put_aside: Collection[Place] = ()
    """The only records on which processes may have died until they were put aside."""
    rebuilt: bool = False
    """Whether the state was made again from the record after alerts had been published."""
    required: Collection[str] | None = None
    """Checks that must be made; None: every one for which there is something to look at."""

    @property
    def demanded(self) -> Collection[str]:
        """The checks that must be made."""
        if self.required is not None:
            return self.required
        given = {
            "O5": self.redis_url is not None,
            "O6": self.profiles_address is not None,
            "O6 versions": self.answers is not None,
            "O7": bool(self.recordings),
        }
        return OF_ANY_RUN | {check for check, there in given.items() if there}

    def save(self, run_directory: Path) -> None:
        """Write where everything is, for `python -m integration_tests.judge RUN_DIR`."""
        document = {
            "bootstrap": self.bootstrap,
            "topic_prefix": self.topic_prefix,
            "redis_url": self.redis_url,
            "profiles_address": self.profiles_address,
            "history": str(self.history),
            "recordings": [str(path) for path in self.recordings],
            "answers": None if self.answers is None else str(self.answers),
            "put_aside": sorted(self.put_aside),
            "rebuilt": self.rebuilt,
            "required": None if self.required is None else sorted(self.required),
        }
        (run_directory / RUN_FILE).write_text(json.dumps(document, indent=2) + "\n")


def load(run_directory: Path) -> Evidence:
    """Return the evidence of a run directory; paths in its file are relative to it."""
    document = json.loads((run_directory / RUN_FILE).read_text())
    answers = document["answers"]
    return Evidence(
        bootstrap=document["bootstrap"],
        topic_prefix=document["topic_prefix"],
        redis_url=document["redis_url"],
        profiles_address=document["profiles_address"],
        history=run_directory / document["history"],
        recordings=[run_directory / path for path in document["recordings"]],
        answers=None if answers is None else run_directory / answers,
        put_aside=[Place(*place) for place in document["put_aside"]],
        rebuilt=document["rebuilt"],
        required=document["required"],
    )
