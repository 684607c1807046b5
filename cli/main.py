"""The program `secondlook`: its commands, what it does with errors, and what it exits with.

=====  ===========================================================================
exit   meaning
=====  ===========================================================================
0      done
1      a bug (with a traceback), or ``audit --strict`` found a contradiction
2      bad usage or bad input: every problem on a line of its own on stderr
3      the diagnostics gate failed; everything is written
130    interrupted
=====  ===========================================================================

Commands are named by their place, and import what they work with when they run: help needs nothing that computes.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version

from cyclopts import App, CycloptsError, MissingArgumentError

# The matrices are small: threads only wait for each other, and their number would change the last digits.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

MF07_01 = "mf07-01"
NEED_OUT = ("fit", "reconstruct")
WITH_OUT = f" --out results/{MF07_01}"
DONE, BUG, BAD_INPUT, FAILED_DIAGNOSTICS, INTERRUPTED = 0, 1, 2, 3, 130

HELP = (
    "A Bayesian second look at a published two-arm survival trial.\n\n"
    "Rebuilds the survival data from the numbers that a paper prints, fits Bayesian survival models to them, and "
    "reports the posterior probability of benefit beside the paper's own hazard ratios. Hazard ratios are treatment "
    "over control: below 1 favours treatment. TRIAL is a built-in trial's id (see 'secondlook trials') or the path "
    "of a .toml record."
)

COMMANDS = {
    "reanalyse": ("reanalysing:reanalyse", "Reanalyse a trial: every model, prior, table and figure."),
    "audit": ("auditing:audit", "Check whether a paper's numbers can be right."),
    "reconstruct": ("rebuilding:reconstruct", "Rebuild survival data from published numbers or curves."),
    "fit": ("reanalysing:fit", "Fit one model under one prior, into a directory of results."),
    "compare": (
        "results:compare",
        "Print published, Cox and posterior hazard ratios side by side.",
    ),
    "evidence": ("pooling:evidence", "Pool the trials of one question; hold each to the others."),
    "plot": ("results:plot", "Draw figures from saved results, as PNG and SVG."),
    "trials": ("records:trials", "List the built-in trials."),
    "show": ("records:show", "Print everything that a trial's record holds."),
    "new": ("records:new", "Write a commented record to fill in."),
    "schema": ("records:schema", "Print the JSON schema of a record, for editors."),
}


def application() -> App:
    """Return the program with its commands, none of them imported."""
    app = App(
        name="secondlook",
        help=HELP,
        version=lambda: version("secondlook"),
        help_format="plaintext",
        suppress_keyboard_interrupt=False,
        result_action="return_value",
    )
    for order, (name, (place, help_line)) in enumerate(COMMANDS.items()):
        app.command(f"{__package__}.{place}", name=name, help=help_line, sort_key=order)
    return app


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    arguments
        Command line without the program's name; the process's own by default.

    Returns
    -------
    int
        What to exit with.
    """
    if arguments is None:  # a closed terminal and a polite kill end like Ctrl-C: nothing is left half written
        for name in ("SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) != signal.SIG_IGN:  # nohup has it ignored
                signal.signal(number, signal.default_int_handler)
    app = application()
    tokens = list(sys.argv[1:] if arguments is None else arguments)

    def run() -> int:
        code = app(tokens, exit_on_error=False, print_error=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else DONE

    return _answered(run)


def _answered(run: Callable[[], int]) -> int:
    """Run a command; say what is wrong with its input rather than show where that was noticed."""
    try:
        return run()
    except KeyboardInterrupt:
        return _complain(["interrupted"], INTERRUPTED)
    except CycloptsError as error:
        return _complain([_without_trial(error) or f"{error} See 'secondlook --help'."], BAD_INPUT)
    except BrokenPipeError:  # the reader of a pipe has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except OSError as error:
        from ..data.disk import UNWRITABLE, unwritable

        if error.errno not in UNWRITABLE:
            raise
        return _complain([f"{error.filename or 'output'}: {unwritable(error)}"], BAD_INPUT)
    except ValueError as error:
        from ..data import InputError

        if not isinstance(error, InputError):
            raise
        return _complain([str(problem) for problem in error.problems], BAD_INPUT)


def _without_trial(error: CycloptsError) -> str:
    """Return what to type where TRIAL is missing; nothing for other errors."""
    if not isinstance(error, MissingArgumentError) or error.argument is None or error.argument.name != "TRIAL":
        return ""
    from ..data.reading import built_in_trials

    command = " ".join(("secondlook", *(error.command_chain or ())))
    example = f"{command} {MF07_01}{WITH_OUT if command.split()[-1] in NEED_OUT else ''}"
    return f"{command} needs a TRIAL: a built-in id ({', '.join(built_in_trials())}) or a .toml file; try: {example}"


def _complain(problems: Sequence[str], code: int) -> int:
    for problem in problems:
        print("error:", " ".join(problem.splitlines()), file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
