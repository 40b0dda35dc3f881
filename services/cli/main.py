"""The command `msctl`: one group of commands a file."""

import typer

from services.cli import (
    alerts_command,
    dead_letters_command,
    digest_command,
    import_command,
    lag_command,
    profile_command,
    rebuild_command,
    rules_command,
    topics_command,
)

app = typer.Typer(
    name="msctl",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help=(
        "Market supervision from the command line. 市场监管命令行工具\n\n"
        "Addresses come from MARKET_SUPERVISION_ENDPOINTS or .run/endpoints.json (written by "
        "`make run`). Exit codes: 0 done, 1 failed, 2 not usable as asked, 3 unreachable, "
        "4 some refused, 5 outcome unknown, 6 not found, 7 not as it should be, 130 interrupted."
    ),
)


app.command("import")(import_command.import_)
app.add_typer(profile_command.app, name="profile")
app.add_typer(alerts_command.app, name="alerts")
app.add_typer(dead_letters_command.app, name="dead-letters")
app.add_typer(rules_command.app, name="rules")
app.add_typer(rebuild_command.app, name="rebuild")
app.command("topics")(topics_command.show_topics)
app.command("lag")(lag_command.show_lag)
app.command("digest")(digest_command.show_digest)


def main() -> None:
    """Run msctl."""
    app()


if __name__ == "__main__":
    main()
