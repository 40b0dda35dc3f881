"""Run a lifecycle worker: `python -m services.lifecycle`. Workers share the partitions."""

from services.lifecycle.app import build_engine, monitored
from services.lifecycle.settings import LifecycleSettings
from services.runtime.logging import configure_logging
from services.runtime.settings import load_settings
from services.streaming.engine import run_worker


def main() -> None:
    """Read the settings, compose the worker, run it until SIGTERM."""
    settings = load_settings(LifecycleSettings, "lifecycle")
    configure_logging("lifecycle", settings.log)
    engine = build_engine(settings)
    monitored(engine, settings)
    run_worker(engine)


if __name__ == "__main__":
    main()
