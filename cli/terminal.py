"""Where text goes: results to stdout, progress and notes to stderr.

``NO_COLOR`` and ``COLUMNS`` are honoured. What is piped is as wide as a page, and wraps rather than loses anything.
"""

from __future__ import annotations

import os
import sys
from types import TracebackType
from typing import Self, TextIO

from rich.console import Console

PIPED_WIDTH = 100
STAY = ("note: ", "warning: ")


class Page(Console):
    """A console that leaves it to the program what a closed pipe means."""

    def on_broken_pipe(self) -> None:
        """Raise again what rich would turn into an exit with 1."""
        self.quiet = True
        raise BrokenPipeError


def console(stream: TextIO | None = None) -> Console:
    """Return a console that prints text as it is.

    Parameters
    ----------
    stream
        Where to print; stdout by default.
    """
    target = stream or sys.stdout
    width = None if target.isatty() or "COLUMNS" in os.environ else PIPED_WIDTH
    return Page(file=target, width=width, markup=False, highlight=False, emoji=False)


class Progress:
    """Tells a user what is being done, by a line that changes, and notes, by lines that stay.

    Progress is shown on a terminal only; notes everywhere. Nothing is when ``quiet``.

    Parameters
    ----------
    quiet
        Whether to say nothing.
    """

    def __init__(self, quiet: bool) -> None:
        self.quiet = quiet
        self.console = console(sys.stderr)
        self.status = self.console.status("")

    def __enter__(self) -> Self:
        if self.console.is_terminal and not self.quiet:
            self.status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.status.stop()

    def __call__(self, message: str) -> None:
        """Show a message; notes and warnings stay."""
        if self.quiet:
            return
        if message.startswith(STAY):
            self.console.print(message)
        else:
            self.status.update(message)
