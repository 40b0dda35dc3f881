"""The raw topics of a failed round, as files: the broker may be gone when somebody looks."""

import base64
import json
from pathlib import Path

from kafka.errors import KafkaError

from integration_tests.system.support import read_topic
from services.contracts.topics import CATALOGUE


def dump_topics(bootstrap: str, directory: Path) -> None:
    """Write every committed record of the current prefix, one file a topic, a line a record."""
    directory.mkdir(parents=True, exist_ok=True)
    for short in CATALOGUE:
        try:
            records = read_topic(bootstrap, short)
        except KafkaError as error:
            (directory / f"{short}.error").write_text(repr(error), encoding="utf-8")
            continue
        with (directory / f"{short}.jsonl").open("w", encoding="utf-8") as file:
            for raw in records:
                line = {
                    "partition": raw.partition,
                    "offset": raw.offset,
                    "timestamp": raw.timestamp,
                    "key": _text(raw.key),
                    "value": _text(raw.value),
                    "headers": [(name, _text(value)) for name, value in raw.headers],
                }
                file.write(json.dumps(line) + "\n")


def _text(data: bytes | None) -> str | None:
    return None if data is None else base64.b64encode(data).decode()
