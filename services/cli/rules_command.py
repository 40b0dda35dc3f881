"""msctl rules: the bundle of rules and calendars in force (规则包)."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from google.protobuf.json_format import MessageToDict

from services.cli.addresses import EndpointOption, address
from services.cli.exit_codes import ExitCode
from services.cli.failures import reported
from services.cli.output import Output, OutputOption, fail, print_record
from services.contracts.bundles import BundleTooLargeError, read_files
from services.contracts.data_files import CONFIG_ROOT, DataFileError
from services.control.publishing import (
    NOTICE_SECONDS_MIN,
    DamagedBundleError,
    newest_bundle,
    publish,
)
from services.lifecycle.rules.errors import BundleError

app = typer.Typer(no_args_is_help=True, help="Rules and calendars. 规则包")


@app.command("publish")
def publish_(
    folder: Annotated[
        Path, typer.Option("--config", help="Configuration folder. 配置目录")
    ] = CONFIG_ROOT,
    notice: Annotated[
        int, typer.Option(min=NOTICE_SECONDS_MIN, help="Seconds until it holds. 提前秒数")
    ] = NOTICE_SECONDS_MIN,
    output: OutputOption = Output.TABLE,
    endpoint: EndpointOption = None,
) -> None:
    """Check the rules and publish them to every partition in one transaction (发布规则)."""
    try:
        with reported():
            done = publish(address("kafka", endpoint), read_files(folder), notice_seconds=notice)
    except DamagedBundleError as error:
        fail(str(error), ExitCode.FAILED)
    except (BundleError, BundleTooLargeError, DataFileError) as error:
        fail(str(error), ExitCode.USAGE)
    told = {
        "version": done.version,
        "content_hash": done.content_hash,
        "effective_time": done.effective_time.isoformat(),
        "is_new": done.is_new,
    }
    print_record(told, output, title="rule bundle (规则包)")


@app.command()
def show(
    *,
    content: Annotated[bool, typer.Option("--content", help="Also the files. 含文件内容")] = False,
    output: OutputOption = Output.TABLE,
    endpoint: EndpointOption = None,
) -> None:
    """Show the newest bundle on the control topic (查看规则包)."""
    try:
        with reported():
            bundle = asyncio.run(newest_bundle(address("kafka", endpoint)))
    except DamagedBundleError as error:
        fail(str(error), ExitCode.FAILED)
    if bundle is None:
        fail("no bundle was published yet (尚未发布规则包)", ExitCode.NOT_FOUND)
    told = MessageToDict(bundle)
    told["files"] = {
        file.path: file.content.decode() if content else f"{len(file.content)} bytes"
        for file in bundle.files
    }
    print_record(told, output, title="rule bundle (规则包)")
