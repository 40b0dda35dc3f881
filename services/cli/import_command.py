"""msctl import: a file of rows through the intake services (文件导入)."""

from pathlib import Path
from typing import Annotated, Any

import typer

from services.cli.addresses import EndpointOption, endpoints
from services.cli.exit_codes import ExitCode
from services.cli.import_progress import ImportProgress
from services.cli.output import Output, OutputOption, fail, note, print_record
from services.contracts.data_files import DataFileError
from services.importing.errors import ImportingError, OutcomeUnknownError, ServiceRefusedError
from services.importing.ledger import LedgerPaths
from services.importing.run import PATIENCE_SECONDS, ImportRequest, import_file
from services.importing.session import Result


def import_(
    file: Annotated[Path, typer.Argument(help="CSV, XLSX, JSONL or JSONL.GZ file. 待导入文件")],
    family: Annotated[
        str | None,
        typer.Option(help="registration, inspections, complaints or penalties. 类别"),
    ] = None,
    profile: Annotated[
        str | None, typer.Option(help="Import profile, such as toronto-dinesafe. 导入配置")
    ] = None,
    folder: Annotated[
        Path, typer.Option("--out", help="Folder of the rejects file and checkpoint. 输出目录")
    ] = Path(),
    receipts: Annotated[
        Path | None, typer.Option(help="Write every receipt to this file, one line a row. 回执文件")
    ] = None,
    sheet: Annotated[str | None, typer.Option(help="Sheet of a spreadsheet. 工作表")] = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="Begin again, whatever was done before. 重新开始")
    ] = False,
    patience: Annotated[
        float, typer.Option(min=1, help="Seconds that outcomes may stay unknown. 等待结果的秒数")
    ] = PATIENCE_SECONDS,
    output: OutputOption = Output.TABLE,
    endpoint: EndpointOption = None,
) -> None:
    """Import a file (导入文件); interrupted or killed, the same command goes on where it was.

    Refused rows go to FILE.rejects.csv: mend them there and import that file the same way.

    Exit codes: 0 all taken, 4 some refused, 5 some outcomes unknown, 3 service unreachable,
    2 file, profile or options unusable.
    """
    request = ImportRequest(
        path=file,
        family=family,
        profile=profile,
        folder=folder,
        sheet=sheet,
        receipts=receipts,
        restart=restart,
        patience_s=patience,
    )
    try:
        with ImportProgress(file.name) as progress:
            result = import_file(request, endpoints(endpoint), progress.show)
    except (ImportingError, DataFileError) as error:
        fail(str(error), ExitCode.USAGE)
    except KeyboardInterrupt:
        note("interrupted; the same command goes on from the checkpoint (已中断, 再次执行可继续)")
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    print_record(report(file, request, result), output, title=f"import {file.name} (导入结果)")
    _exit(result)


def report(file: Path, request: ImportRequest, result: Result) -> dict[str, Any]:
    """Return what the command tells at the end."""
    told: dict[str, Any] = {
        "file": str(file),
        "rows": result.rows,
        "accepted": result.accepted,
        "rejected": result.rejected,
        "unknown": result.unknown,
        "not_sent": result.not_sent,
        "resumed_at": result.resumed_at,
        "accepted_by_family": dict(result.accepted_by_family),
        "rejected_by_reason": dict(result.rejected_by_reason),
    }
    if result.rejected:
        told["rejects_file"] = str(LedgerPaths(request.folder, file.name, None).rejects)
    return told


def _exit(result: Result) -> None:
    if isinstance(result.failure, OutcomeUnknownError):
        fail(str(result.failure), ExitCode.UNKNOWN)
    if isinstance(result.failure, ServiceRefusedError):
        fail(str(result.failure), ExitCode.UNREACHABLE)
    if result.failure is not None:
        fail(str(result.failure), ExitCode.FAILED)
    if result.rejected:
        raise typer.Exit(ExitCode.REJECTED)
