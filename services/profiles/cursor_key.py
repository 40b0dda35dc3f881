"""The key that signs cursors: from a setting, else from a file made on first start."""

import os
import secrets
from pathlib import Path

from pydantic import SecretStr

from services.runtime.settings import ConfigurationError

KEY_BYTES = 32
KEY_FILE = "cursor.key"
_MODE = 0o600


def cursor_key(given: SecretStr | None, data_dir: Path) -> bytes:
    """Return the key; it stays the same across restarts, so cursors do.

    Raises ConfigurationError for a key that is too short, or a file that others may read.
    """
    if given is not None:
        key = given.get_secret_value().encode()
        if len(key) < KEY_BYTES:
            raise ConfigurationError(
                f"cursor_key has {len(key)} bytes, at least {KEY_BYTES} are needed (游标密钥过短)"
            )
        return key
    file = data_dir / KEY_FILE
    data_dir.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE)
    except FileExistsError:
        return _read(file)
    with os.fdopen(descriptor, "wb") as opened:
        key = secrets.token_bytes(KEY_BYTES)
        opened.write(key)
    return key


def _read(file: Path) -> bytes:
    mode = file.stat().st_mode & 0o777
    if mode & 0o077:
        raise ConfigurationError(
            f"{file} may be read by others (mode {mode:o}, must be 600) (密钥文件权限过宽)"
        )
    key = file.read_bytes()
    if len(key) != KEY_BYTES:
        raise ConfigurationError(
            f"{file} holds {len(key)} bytes, must hold {KEY_BYTES}; delete it to make a new key, "
            "which ends all cursors (密钥文件损坏)"
        )
    return key
