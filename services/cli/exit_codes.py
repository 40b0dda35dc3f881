"""Exit codes of msctl: the same meaning in every command (退出码)."""

from enum import IntEnum


class ExitCode(IntEnum):
    """What an exit code says."""

    OK = 0
    """Done as asked (成功)."""
    FAILED = 1
    """The service answered with an error, or a defect (失败)."""
    USAGE = 2
    """Options, a file, a profile or an address cannot be used; nothing was done (用法错误)."""
    UNREACHABLE = 3
    """A service or the broker cannot be reached, or is not ready (不可达)."""
    REJECTED = 4
    """Complete, but some rows or events were refused (部分拒收)."""
    UNKNOWN = 5
    """Some outcomes stayed unknown; the same command again goes on from there (结果未知)."""
    NOT_FOUND = 6
    """There is no such entity, alert or dead letter (未找到)."""
    DIFFERS = 7
    """What was looked at is not as it should be: behind, unlike the catalogue, another digest
    (与预期不符)."""
    INTERRUPTED = 130
    """Ended by Ctrl-C; an import goes on with the same command (中断)."""
