"""Turn SIGTERM and SIGINT into an orderly end."""

import asyncio
import os
import signal

FORCED_EXIT_CODE = 130
"""What a shell reports for a process ended by SIGINT."""


def stop_event() -> asyncio.Event:
    """Return an event that the first SIGTERM or SIGINT sets; the second one ends the process.

    Call from the running event loop's thread, once a process.
    """
    event = asyncio.Event()

    def on_signal() -> None:
        if event.is_set():
            os._exit(FORCED_EXIT_CODE)
        event.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    return event
