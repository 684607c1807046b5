"""Writing so that what is there survives: under a lock, below another name, put in its place when all went well.

Beside ``results`` stand, while it is written, the lock ``.results.lock``, the new ``.results.staged-*`` and, for the
moment of the swap, the earlier ``.results.staged-*.old``. A killed run leaves them: whoever comes next puts back what
is missing and removes the rest.
"""

from __future__ import annotations

import errno
import glob
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from .errors import InputError, input_error

STAGED: Final = ".staged-"
OLD: Final = ".old"
LOCK: Final = ".lock"
SWAP_SECONDS = 10.0  # longer than any swap takes
UNWRITABLE: Final = frozenset(
    {
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EFBIG,
        errno.EACCES,
        errno.EPERM,
        errno.EROFS,
        errno.ENAMETOOLONG,
        errno.ENOTDIR,
    }
)


@contextmanager
def locked(path: str | Path, option: str = "", wait: float = 0.0) -> Iterator[Path]:
    """Hold the lock of a file or directory, and tidy away or put back what a killed run left beside it.

    Parameters
    ----------
    path
        What is written; missing parents are created.
    option
        Command-line option that names it, for messages.
    wait
        How long another run may keep it, in seconds.

    Yields
    ------
    Path
        The path, resolved.

    Raises
    ------
    InputError
        When another run is writing there, or nothing can be written there.
    """
    target = Path(path).resolve()
    place = target.with_name(f".{target.name}{LOCK}")
    lock = FileLock(place, timeout=wait)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        allowed = "another run is writing there; wait for it, or give another name"
        raise input_error(option or str(path), "", str(path) if option else None, allowed) from None
    except OSError as error:
        raise input_error(option or str(path), "", str(path) if option else None, unwritable(error)) from None
    try:
        _tidy(target)
        yield target
    finally:
        place.unlink(missing_ok=True)  # whoever holds a lock of a file that is gone tries again
        lock.release()


def _left(target: Path) -> list[Path]:
    """Return what runs into a file or directory have beside it, or left there."""
    return list(target.parent.glob(f".{glob.escape(target.name)}{STAGED}*"))


def _tidy(target: Path) -> None:
    """Put back or remove what a killed run left; the lock is held, so nobody else needs it."""
    left = _left(target)
    old = [path for path in left if path.name.endswith(OLD)]
    if old and not target.exists():  # killed between the two renames: what was there comes back
        old[0].rename(target)
    for path in left:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def put_back(directory: str | Path) -> None:
    """Put back results that a run took away and was killed before it replaced them; else do nothing.

    Parameters
    ----------
    directory
        Where results stood.

    Raises
    ------
    InputError
        When they cannot be put back.
    """
    target = Path(directory).resolve()
    if not target.exists() and any(path.name.endswith(OLD) for path in _left(target)):
        with locked(directory, wait=SWAP_SECONDS):
            return


def is_remnant(path: Path) -> bool:
    """Whether a file or directory is one that a killed run left."""
    return path.name.startswith(".") and (STAGED in path.name or path.name.endswith(LOCK))


def copied(source: Path, target: Path) -> None:
    """Copy a directory into an existing one, but for what killed runs left there.

    Raises
    ------
    OSError
        When a file cannot be copied; names it.
    """
    for path in sorted(source.iterdir()):
        if is_remnant(path):
            continue
        place = target / path.name
        with naming(place):
            if path.is_dir():
                place.mkdir(exist_ok=True)
                shutil.copystat(path, place)
                copied(path, place)
            else:
                shutil.copy2(path, place)


def swap(staged: Path, target: Path) -> None:
    """Let a directory take another's place; an interrupt between the two renames undoes the first."""
    old = staged.with_name(staged.name + OLD)
    try:
        if target.exists():
            target.rename(old)
        staged.rename(target)
    except BaseException:  # Ctrl-C between the two
        if old.exists() and not target.exists():
            old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let an error of writing say which file it is about."""
    try:
        yield
    except OSError as error:
        if error.filename is None or error.filename2 is not None:
            error.filename, error.filename2 = str(path), None
        raise


@contextmanager
def telling(staged: Path, shown: str | Path) -> Iterator[None]:
    """Turn errors of a full disk, and of whatever else cannot be written, into an `InputError`.

    Parameters
    ----------
    staged
        Temporary file or directory that is written.
    shown
        What it takes the place of, as messages call it.
    """
    try:
        yield
    except InputError as error:
        told = [replace(one, place=one.place.replace(str(staged), str(shown))) for one in error.problems]
        raise InputError(told) from None
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
        place = str(error.filename or shown).replace(str(staged), str(shown))
        raise input_error(place, "", None, unwritable(error)) from None


def unwritable(error: OSError) -> str:
    """Say why something cannot be written."""
    return f"cannot be written ({error.strerror or error})"


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Give a temporary file that takes a file's place when all went well.

    Parameters
    ----------
    path
        The file; missing directories are created.

    Yields
    ------
    Path
        The temporary file, beside it.

    Raises
    ------
    InputError
        When the file cannot be written, or another run is writing it. What is there stays as it is.
    """
    if path.is_dir():
        raise input_error(str(path), "", None, "is a directory; give the name of a file")
    with locked(path) as target:
        try:
            handle, name = tempfile.mkstemp(prefix=f".{target.name}{STAGED}", dir=target.parent)
        except OSError as error:
            raise input_error(str(path), "", None, unwritable(error)) from None
        os.close(handle)
        staged = Path(name)
        try:
            with telling(staged, path):
                staged.chmod(0o666 & ~umask())
                yield staged
                staged.replace(target)
        finally:
            staged.unlink(missing_ok=True)


def umask() -> int:
    """Return which permissions new files do not get."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
