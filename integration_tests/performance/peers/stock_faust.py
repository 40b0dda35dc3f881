"""A stock Faust worker whose agent does nothing with what it is given: the floor of the framework.

No table, no output, acknowledgement and commits as Faust does them by default. It reads the topics
named by `topic`, separated by commas, so that it can be given the input of the full system too.
"""

import os
import signal
import sys
from collections.abc import AsyncIterable
from pathlib import Path
from typing import Any

import faust

from integration_tests.performance.peers.progress import PeerArguments, Progress


def main() -> None:
    """Run until every record came, then stop as SIGTERM does."""
    arguments = PeerArguments.decoded(sys.argv[1])
    progress = Progress(arguments)
    app = faust.App(
        arguments.group,
        broker=f"kafka://{arguments.bootstrap}",
        datadir=str(Path(arguments.directory) / "faust"),
        store="memory://",
        web_enabled=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        consumer_auto_offset_reset="earliest",
        cython_optimizations=True,
    )
    topic = app.topic(
        *arguments.topic.split(","), key_serializer="raw", value_serializer="raw", internal=False
    )

    async def nothing(stream: AsyncIterable[Any]) -> None:
        async for _ in stream:
            progress.add()
            if progress.all_given.is_set():
                os.kill(os.getpid(), signal.SIGTERM)

    app.agent(topic, name="nothing")(nothing)
    app.Worker(quiet=True, loglevel="WARN", redirect_stdouts=False).execute_from_commandline()


if __name__ == "__main__":
    main()
