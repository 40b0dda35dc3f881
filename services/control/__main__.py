"""Commands for the bundle of rules: check, publish, reference."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from market_supervision.control.v1.control_pb2 import BundleFile

from services.contracts.bundles import (
    BundleTooLargeError,
    build_bundle,
    overridden,
    read_files,
)
from services.contracts.data_files import CONFIG_ROOT, DataFileError
from services.control.publishing import NOTICE_SECONDS_MIN, DamagedBundleError, publish_bundle
from services.control.reference import reference_page
from services.lifecycle.rules.bundle import CompiledBundle
from services.lifecycle.rules.errors import BundleError
from services.runtime import clock

REFERENCE_PAGE = Path("docs/reference/rules.md")

app = typer.Typer(
    help="Bundles of rules (规则包): check them, publish them, describe them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

Config = Annotated[Path, typer.Option(help="Folder that holds rules/ and calendars/.")]


def _files(config: Path, max_age_days: int | None) -> list[BundleFile]:
    files = read_files(config)
    return files if max_age_days is None else overridden(files, {"max_age_days": max_age_days})


def _compiled(files: list[BundleFile]) -> CompiledBundle:
    return CompiledBundle.from_bundle(build_bundle(files, 1, clock.utc_now()))


@app.command()
def check(config: Config = CONFIG_ROOT) -> None:
    """Check every rule, run its examples, change nothing."""
    compiled = _compiled(_files(config, None))
    for rule in compiled.rules:
        row = rule.row
        typer.echo(f"{row.id}  version {row.version}  {row.state}  {len(row.examples)} examples")


@app.command()
def publish(
    bootstrap_servers: Annotated[str, typer.Option(envvar="KAFKA_BOOTSTRAP_SERVERS")],
    config: Config = CONFIG_ROOT,
    notice_seconds: Annotated[
        int, typer.Option(min=NOTICE_SECONDS_MIN, help="How far ahead a later bundle holds from.")
    ] = NOTICE_SECONDS_MIN,
    max_age_days: Annotated[
        int | None, typer.Option(min=0, help="Replaces max_age_days of every rule, for trials.")
    ] = None,
) -> None:
    """Publish the rules as the next bundle; unchanged ones are not written again."""
    files = _files(config, max_age_days)
    published = asyncio.run(publish_bundle(bootstrap_servers, files, notice_seconds=notice_seconds))
    if published.is_new:
        verb = "published, holds from"
    elif published.effective_time > clock.utc_now():
        verb = "published before, holds from"
    else:
        verb = "already in force since"
    typer.echo(
        f"bundle {published.version} {verb} {published.effective_time.isoformat()} "
        f"({published.content_hash[:12]})"
    )


@app.command()
def reference(
    config: Config = CONFIG_ROOT,
    *,
    only_check: Annotated[
        bool, typer.Option("--check", help="Change nothing; exit 1 when the page has drifted.")
    ] = False,
) -> None:
    """Write docs/reference/rules.md from the rules."""
    page = reference_page(_compiled(_files(config, None)).rules)
    if not only_check:
        REFERENCE_PAGE.parent.mkdir(parents=True, exist_ok=True)
        REFERENCE_PAGE.write_text(page, encoding="utf-8")
    elif not REFERENCE_PAGE.exists() or REFERENCE_PAGE.read_text(encoding="utf-8") != page:
        typer.echo(
            f"{REFERENCE_PAGE}: differs; run: python -m services.control reference", err=True
        )
        raise typer.Exit(1)


def main() -> None:
    """Run a command; what is wrong with the data is said line by line, with exit code 2."""
    try:
        app()
    except (BundleError, BundleTooLargeError, DamagedBundleError, DataFileError) as error:
        typer.echo(str(error), err=True)
        raise SystemExit(2) from error


if __name__ == "__main__":
    main()
