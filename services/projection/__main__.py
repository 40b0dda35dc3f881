"""Composition root of the projection: `python -m services.projection [--ready-file PATH]`."""

import argparse
import asyncio
import sys
from pathlib import Path

from services.projection import service
from services.projection.settings import ProjectionSettings
from services.readmodel.errors import UnsafeRedisError
from services.runtime.header_names import read_any_header_name
from services.runtime.heap import settle_heap
from services.runtime.logging import configure_logging
from services.runtime.settings import ConfigurationError, load_settings
from services.runtime.shutdown import stop_event
from services.runtime.topic_ids import TopicMissingError


async def _run(settings: ProjectionSettings) -> None:
    await service.run(settings, stop_event())


def main() -> int:
    """Run until SIGTERM; return the exit code: 0, or 2 for a configuration that cannot work."""
    parser = argparse.ArgumentParser(prog="services.projection", description=service.__doc__)
    parser.add_argument(
        "--ready-file", type=Path, help="written once the read model is complete (就绪文件)"
    )
    arguments = parser.parse_args()
    try:
        settings = load_settings(ProjectionSettings, "projection")
        if arguments.ready_file is not None:
            settings = settings.model_copy(update={"ready_file": arguments.ready_file})
        configure_logging("projection", settings.log)
        read_any_header_name()
        settle_heap()
        asyncio.run(_run(settings))
    except (ConfigurationError, TopicMissingError, UnsafeRedisError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
