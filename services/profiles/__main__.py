"""Composition root of the query side: `python -m services.profiles [--ready-file PATH]`."""

import argparse
import asyncio
import sys
from pathlib import Path

from services.profiles import service
from services.profiles.settings import ProfilesSettings
from services.runtime.header_names import read_any_header_name
from services.runtime.heap import settle_heap
from services.runtime.logging import configure_logging
from services.runtime.settings import ConfigurationError, load_settings
from services.runtime.shutdown import stop_event
from services.runtime.topic_ids import TopicMissingError


async def _run(settings: ProfilesSettings) -> None:
    await service.run(settings, stop_event())


def main() -> int:
    """Serve until SIGTERM; return the exit code: 0, or 2 for a configuration that cannot work."""
    parser = argparse.ArgumentParser(prog="services.profiles", description=service.__doc__)
    parser.add_argument("--ready-file", type=Path, help="written when listening (就绪文件)")
    arguments = parser.parse_args()
    try:
        settings = load_settings(ProfilesSettings, "profiles")
        if arguments.ready_file is not None:
            server = settings.server.model_copy(update={"ready_file": arguments.ready_file})
            settings = settings.model_copy(update={"server": server})
        configure_logging("profiles", settings.log)
        read_any_header_name()
        settle_heap()
        asyncio.run(_run(settings))
    except (ConfigurationError, TopicMissingError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
