"""The command `msctl`: one group of commands a file."""

import typer

from services.cli import import_command

app = typer.Typer(
    name="msctl",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help=(
        "Market supervision from the command line. 市场监管命令行工具\n\n"
        "Addresses come from MARKET_SUPERVISION_ENDPOINTS or .run/endpoints.json (written by "
        "`make run`). Exit codes: 0 done, 1 failed, 2 not usable as asked, 3 unreachable, "
        "4 some refused, 5 outcome unknown, 6 not found, 130 interrupted."
    ),
)


@app.callback()
def msctl() -> None:
    """Make the commands a group even while there is one only."""


app.command("import")(import_command.import_)


def main() -> None:
    """Run msctl."""
    app()


if __name__ == "__main__":
    main()
