"""What every service works in: the open database, the settings and the secret key."""

from __future__ import annotations

import os
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from review.errors import BadSettings, DatabaseLocked
from review.settings import Settings
from review.store.database import Database

Role = Literal["reviewer", "support", "lead"]
ROLES: tuple[Role, ...] = ("reviewer", "support", "lead")


@dataclass(frozen=True)
class Actor:
    """Who acts. Asked in one place (the shell or the command line) and passed on."""

    name: str
    role: Role


@dataclass(frozen=True)
class Workspace:
    """One open workspace. `key` (32 bytes) derives pair ids, card ids and the shown order."""

    database: Database
    settings: Settings
    key: bytes

    def close(self) -> None:
        """Release the database file."""
        self.database.close()


def open_workspace(settings: Settings, *, patience: float = 0.0) -> Workspace:
    """Open the database (made when absent) and its key, once whoever has it has let go, within `patience` seconds.

    Raises:
        DatabaseLocked: another process has the file open.
        DatabaseBroken: the file is no review database.
        BadSettings: the database exists but its key file is gone or damaged.
    """
    # The lock on the database comes first: whoever holds it may write the key.
    database = _wait(settings.db, patience)
    try:
        return Workspace(database, settings, _key(settings.key_file))
    except BaseException:
        database.close()
        raise


def _wait(path: Path, patience: float) -> Database:
    until = time.monotonic() + patience
    while True:
        try:
            return Database(path)
        except DatabaseLocked:
            if time.monotonic() >= until:
                raise
        time.sleep(0.05)


def _key(path: Path) -> bytes:
    """Read the key, or make one (mode 0600) for a new database."""
    if not path.exists():
        draft = path.with_name(path.name + ".draft")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(32) + "\n")
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    return read_key(path)


def read_key(path: Path) -> bytes:
    """The key of a database that stands.

    Raises:
        BadSettings: the file is gone or damaged.
    """
    try:
        key = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except (OSError, ValueError) as error:
        raise _damaged(path) from error
    if len(key) != 32:
        raise _damaged(path)
    return key


def _damaged(path: Path) -> BadSettings:
    return BadSettings(f"{path} is damaged: it must hold 64 hexadecimal digits. Restore it from a backup.")
