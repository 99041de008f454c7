"""The entry point: parse, run one command, turn what went wrong into one line."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError

from upnext import __version__
from upnext.cli.commands import (
    call,
    cancel,
    dead,
    dev,
    events,
    health,
    init,
    inspect,
    list,  # noqa: A004
    pause,
    run,
    status,
)
from upnext.cli.explain import FAILURE, CommandError, explain
from upnext.cli.visible import one_line, visible

INTERRUPTED = 130
"""What a shell reports of a program that ended by Ctrl+C."""

HELP = """Background jobs for Python on structured concurrency.

Workers are found in files (app.py) or modules (package.module). The broker is
the Redis or Valkey that UPNEXT_REDIS_URL names, or else an embedded one in
.upnext/ of the working directory."""

EXAMPLES = """Examples:

  upnext init shop                    write a new project into shop/
  upnext run app.py                   run every worker in app.py
  upnext dev app.py                   the same, and anew whenever source changes
  upnext call app.py add a=1 b=2      run one task here and now
  upnext list app.py                  see what app.py declares
  upnext health                       see if the broker is there, and who works

upnext COMMAND --help says more about a command."""

app = App(
    name="upnext",
    version=__version__,
    version_flags=["--version"],
    help=HELP,
    help_epilogue=EXAMPLES,
    help_format="plaintext",  # a Markdown parser would cost more than all the rest of --help
    result_action="return_value",
    suppress_keyboard_interrupt=False,
    end_of_options_delimiter="--",
)
app.command(init.init, usage="Usage: upnext init DIRECTORY [OPTIONS]", help_epilogue=init.EXAMPLES)
app.command(run.run, usage="Usage: upnext run FILES... [OPTIONS]", help_epilogue=run.EXAMPLES)
app.command(dev.dev, usage="Usage: upnext dev FILES... [OPTIONS]", help_epilogue=dev.EXAMPLES)
app.command(
    call.call,
    usage="Usage: upnext call FILE FUNCTION [key=value ...] [OPTIONS]",
    help_epilogue=call.EXAMPLES,
)
app.command(
    list.list_, name="list", usage="Usage: upnext list FILES...", help_epilogue=list.EXAMPLES
)
app.command(
    inspect.inspect_,
    name="inspect",
    usage="Usage: upnext inspect FILES... [OPTIONS]",
    help_epilogue=inspect.EXAMPLES,
)
app.command(
    status.status, usage="Usage: upnext status JOB_ID [OPTIONS]", help_epilogue=status.EXAMPLES
)
app.command(
    cancel.cancel, usage="Usage: upnext cancel JOB_ID [OPTIONS]", help_epilogue=cancel.EXAMPLES
)
app.command(
    pause.pause, usage="Usage: upnext pause [TASKS...] [OPTIONS]", help_epilogue=pause.EXAMPLES
)
app.command(
    pause.resume,
    usage="Usage: upnext resume [TASKS...] [OPTIONS]",
    help_epilogue=pause.RESUME_EXAMPLES,
)
app.command(events.events, help_epilogue=events.EXAMPLES)
app.command(dead.dead)
app.command(health.health, help_epilogue=health.EXAMPLES)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: The words after the program's name; default: those of this process.

    Returns:
        The exit code: 0; 1 when what was asked for failed; 2 when it cannot be done as asked;
        130 after Ctrl+C.
    """
    try:
        code = app(
            sys.argv[1:] if arguments is None else arguments,
            exit_on_error=False,
            print_error=False,
        )
        sys.stdout.flush()
    except CycloptsError as error:
        return _complain(CommandError(f"{' '.join(str(error).split())} Try: upnext --help"))
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output left (`upnext list … | head`); spare the exit a second try.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILURE
    except Exception as error:  # the last place where a line can be made of it
        problem = explain(error)
        if problem is not None:
            return _complain(problem)
        if os.environ.get("UPNEXT_DEBUG"):
            raise
        kind = type(error).__name__
        return _complain(
            CommandError(
                f"upnext itself failed: {kind}: {error}"
                " (UPNEXT_DEBUG=1 shows where; please report it)",
                code=FAILURE,
            )
        )
    return code if isinstance(code, int) else 0


def _complain(problem: CommandError) -> int:
    if problem.details:
        sys.stderr.write(visible(problem.details).rstrip() + "\n")
    red, plain = ("\x1b[1;31m", "\x1b[0m") if _in_colour() else ("", "")
    sys.stderr.write(f"{red}Error:{plain} {one_line(str(problem))}\n")
    return problem.code


def _in_colour() -> bool:
    return sys.stderr.isatty() and not os.environ.get("NO_COLOR")
