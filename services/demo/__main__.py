"""Starts everything, feeds a synthetic city, shows what happens: `python -m services.demo`."""

import asyncio
import json
import signal
import sys
import time
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer
from rich.console import Console

from services.demo.feed import Feed, FeedRefusedError
from services.demo.hints import write_example
from services.demo.run import Demonstration
from services.demo.screen import Screen
from services.demo.season import Season, SeasonFileError, load_season, save_season
from services.demo.stack import Stack
from services.importing.errors import ImportingError
from services.local.environment import local_environment
from services.local.errors import LocalError
from services.local.process import end_orphans
from services.local.run_directory import owned_run_directory, write_private
from services.runtime import clock
from services.runtime.kafka_topics import TopicMismatchError
from services.synthetic.city import PRESENT_DAYS, City, build_city
from services.synthetic.days import CITY_ZONE

EXPECTED_ERRORS = (
    LocalError,
    ImportingError,
    FeedRefusedError,
    SeasonFileError,
    TopicMismatchError,
    TimeoutError,
)
"""What can go wrong without a defect of this program; told in one line."""
EXIT_INTERRUPTED = 130
EXIT_FAILED = 1
HONEST_WORDS = """
虚构城市：全部主体均为虚构，统一社会信用代码位于保留区段。
先以全速载入{years}年历史（规则只看近30天，不惊动任何人），再把最近{days}天压缩播放，每秒{pace:g}条。
A synthetic city: every entity is invented, in a reserved range of codes.
First {years} years of its past at full speed (rules look back 30 days: nobody is woken), then its
last {days} days in time-lapse, {pace:g} records a second. The dates in the records are the real
ones of these days; only the pace is compressed.
"""
GOES_ON_WORDS = (
    "This folder goes on with the city of its first run; without effect: {ignored}. For another "
    "city use another --folder, or `make clean-data`. (沿用首次运行的城市，上述选项未生效)"
)


app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)


@app.command()
def demo(
    folder: Annotated[Path, typer.Option(help="Run folder: data, logs, endpoints.")] = Path(".run"),
    seed: Annotated[int, typer.Option(help="Seed of the city.")] = 2026,
    entities: Annotated[int, typer.Option(min=100, max=20_000, help="Entities of a city.")] = 200,
    years: Annotated[int, typer.Option(min=2, max=4, help="Years of its past.")] = 2,
    pace: Annotated[float, typer.Option(min=0.1, max=500, help="Records a second, present.")] = 8.0,
    *,
    plain: Annotated[bool, typer.Option(help="Plain lines even on a terminal.")] = False,
    stay: Annotated[bool, typer.Option(help="Go on when all is fed, until Ctrl-C.")] = True,
) -> None:
    """Run the whole system with a synthetic city (以虚构城市演示整个系统)."""
    console = Console(highlight=False)
    began = time.monotonic()
    with ExitStack() as stack:
        orphans = stack.enter_context(owned_run_directory(folder / "demo"))
        # Also what an interrupt in the middle of a start leaves.
        stack.callback(end_orphans, folder / "demo")
        if orphans:
            console.print(f"Ended what an earlier run left: {', '.join(orphans)} (已清理上次残留)")
        console.print("Starting broker and Redis ... (正在启动消息队列与缓存)")
        local = stack.enter_context(local_environment(folder / "demo" / "data"))
        services = stack.enter_context(
            Stack(folder / "demo", local.kafka_bootstrap_servers, local.redis_url)
        )
        stack.callback(_finish_undisturbed)
        services.create_topics()
        services.start()
        published = services.publish_rules()
        console.print(f"Topics are there; rule bundle {published.version} in force. (规则已发布)")
        city_file = folder / "demo" / "city.json"
        season, city = _season_and_city(city_file, seed, entities, years)
        if ignored := season.differs_from(seed, entities, years):
            console.print(GOES_ON_WORDS.format(ignored=ignored))
        services.wait_ready()
        stack.callback((folder / "endpoints.json").unlink, missing_ok=True)
        _write_endpoints(folder / "endpoints.json", services)
        example = folder / "example-complaints.jsonl"
        write_example(example, season.present, city.entities[-1])
        took = time.monotonic() - began
        console.print(f"All services are up after {took:.0f} s; logs in {services.log_directory}")
        console.print(HONEST_WORDS.format(years=season.years, days=PRESENT_DAYS, pace=pace))
        feed = Feed(season, city, city_file)
        with Screen(console, plain=plain or not console.is_terminal) as screen:
            run = Demonstration(services, feed, screen, pace, example, stay)
            asyncio.run(run.run())
        if run.first_alert_at is not None:
            first = run.first_alert_at - began
            console.print(f"First alert {first:.0f} s after the start. (首个预警)")
        console.print("Stopping ... (正在停止)")
    console.print("Everything is stopped. (已全部停止)")


def _season_and_city(file: Path, seed: int, entities: int, years: int) -> tuple[Season, City]:
    """Return the city to go on with: the one begun, else the next, else the first."""
    today = clock.utc_now().astimezone(CITY_ZONE).date()
    season = load_season(file) or Season(seed, entities, years, 0, today - timedelta(days=1))
    city = build_city(season.arguments)
    if season.delivered >= len(city.submissions):
        season = season.next_season(today)
        city = build_city(season.arguments)
    save_season(file, season)
    return season, city


def _write_endpoints(file: Path, services: Stack) -> None:
    write_private(file, json.dumps(services.addresses(), indent=2) + "\n")


def _finish_undisturbed() -> None:
    """Ignore further signals: a second Ctrl-C while stopping would leave processes behind."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def _end(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def main() -> None:
    """Run the command; whatever ends it, what it started is ended first."""
    # SIGINT as well: asyncio turns Python's own handler into a cancellation, which a library may
    # swallow, and the interrupt would be lost.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)
    try:
        app()
    except EXPECTED_ERRORS as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(EXIT_FAILED)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)


if __name__ == "__main__":
    main()
