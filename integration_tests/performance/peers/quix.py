"""Quix Streams with the peers' fold in its RocksDB state with changelog topic.

Runs in a virtual environment of its own (made by `quix_python` in `catalogue.py`), which holds no
package of this project; besides Quix Streams only the standard library and the fold are imported.
"""

import sys
from typing import Any, Literal

from quixstreams import Application, State

from integration_tests.performance.peer_fold import fold
from integration_tests.performance.peers.progress import PeerArguments, Progress

STATE_KEY = "s"


def main() -> None:
    """Run until every record was folded; the end of the run writes the last checkpoint."""
    arguments = PeerArguments.decoded(sys.argv[1])
    guarantee: Literal["exactly-once", "at-least-once"] = (
        "at-least-once" if "at-least-once" in sys.argv[2:] else "exactly-once"
    )
    progress = Progress(arguments)
    app = Application(
        arguments.bootstrap,
        consumer_group=arguments.group,
        auto_offset_reset="earliest",
        state_dir=f"{arguments.directory}/state",
        processing_guarantee=guarantee,
        loglevel="WARNING",
    )
    topic = app.topic(arguments.topic, key_deserializer="bytes", value_deserializer="bytes")

    def step(value: bytes, state: State) -> bytes:
        after = fold(state.get_bytes(STATE_KEY), value)
        if after is not None:
            state.set_bytes(STATE_KEY, after)
        progress.add()
        return value

    stream: Any = app.dataframe(topic)
    stream.update(step, stateful=True)
    app.run(count=arguments.records, collect=False)


if __name__ == "__main__":
    main()
