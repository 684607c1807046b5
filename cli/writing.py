"""Writing single files without harming what is there."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..data.errors import input_error


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
        When the file cannot be written. What is there stays as it is.
    """
    if path.is_dir():
        raise input_error(str(path), "", None, "is a directory; give the name of a file")
    try:
        path.absolute().parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.absolute().parent)
    except OSError as error:
        raise input_error(str(path), "", None, f"cannot be written ({error.strerror})") from None
    os.close(handle)
    staged = Path(name)
    try:
        staged.chmod(0o666 & ~_umask())
        yield staged
        staged.replace(path)
    finally:
        staged.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
