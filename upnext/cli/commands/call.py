"""`upnext call`: run one task here and now."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from upnext.cli.explain import FAILURE, CommandError
from upnext.cli.options import RedisUrl

if TYPE_CHECKING:
    from upnext.client.handle import TaskHandle
    from upnext.tasks.definition import TaskDefinition

EXAMPLES = """Examples:

  upnext call app.py add a=1 b=2
  upnext call app.py send --json '{"to": "ada@example.com", "body": {"text": "Hello"}}'"""


def call(
    file: Annotated[str, Parameter(help="A Python file, or a module such as package.module.")],
    function: Annotated[str, Parameter(help="The name of a task in it.")],
    /,
    *arguments: str,
    json_object: Annotated[str | None, Parameter(name=["--json", "-j"])] = None,
    async_backend: Literal["asyncio", "trio"] = "asyncio",
    redis_url: RedisUrl = None,
    verbose: Annotated[
        bool, Parameter(name=["--verbose", "-v"], negative="", show_default=False)
    ] = False,
) -> None:
    """Run one task in this process.

    Nothing is queued and nothing is retried. The result goes to stdout as JSON,
    all else to stderr.

    Args:
        arguments: key=value; a value that is JSON is that value, any other is a text.
        json_object: All arguments as one JSON object; key=value wins over it.
        async_backend: The event loop that runs an async task.
        verbose: Log what is of interest to developers only.
    """
    from upnext.cli.arguments import read_arguments
    from upnext.cli.broker import parse_address
    from upnext.cli.loader import find_task, load_workers
    from upnext.cli.logs import configure_logging

    given = read_arguments(arguments, json_object)
    if redis_url is not None:
        parse_address(redis_url)
        os.environ["UPNEXT_REDIS_URL"] = redis_url  # for what the task itself submits
    configure_logging("text", verbose)
    _, handle = find_task(load_workers([file]), function)
    start = time.perf_counter()
    payload = _run(handle, given, async_backend)
    took = (time.perf_counter() - start) * 1000
    _show(function, payload, took)


def _run(handle: TaskHandle[..., Any], given: dict[str, Any], backend: str) -> bytes:
    from upnext.cli.arguments import check_fit
    from upnext.cli.loader import own_frames
    from upnext.errors import CodecError
    from upnext.model.identity import new_job_id
    from upnext.tasks.context import Context, current_context

    definition = handle.definition
    check_fit(handle.name, definition.function, given)
    try:
        args, kwargs = definition.arguments.decode(json.dumps(given).encode())
    except CodecError as error:
        raise CommandError(f"The arguments of {handle.name} do not fit: {error}.") from None
    name = definition.name
    context = Context(job_id=new_job_id(definition.tag), function=name, function_name=name)
    token = current_context.set(context)
    try:
        value, error = _invoke(definition, args, kwargs, backend)
    finally:
        current_context.reset(token)
    if error is not None:
        line = f"{name} failed: {type(error).__name__}: {error}"
        raise CommandError(line, code=FAILURE, details=own_frames(error))
    try:
        return definition.result.encode(value)
    except CodecError as error:
        raise CommandError(
            f"{name} returned what cannot be stored as its result: {error}.", code=FAILURE
        ) from None


def _invoke(
    definition: TaskDefinition, args: tuple[Any, ...], kwargs: dict[str, Any], backend: str
) -> tuple[Any, Exception | None]:
    # The error is caught next to the function: its traceback has no frames of an event loop.
    async def in_loop() -> tuple[Any, Exception | None]:
        try:
            return await definition.function(*args, **kwargs), None
        except Exception as error:  # whatever the user's function raises is what is shown
            return None, error

    if definition.is_async:
        import anyio

        return anyio.run(in_loop, backend=backend)
    try:
        return definition.function(*args, **kwargs), None
    except Exception as error:  # whatever the user's function raises is what is shown
        return None, error


def _show(function: str, payload: bytes, took: float) -> None:
    from rich.text import Text

    from upnext.cli.render import open_console, print_json, read_json
    from upnext.cli.visible import one_line

    sys.stdout.flush()  # what the task printed comes first
    line = Text.assemble(("✓ ", "green"), f"{one_line(function)} completed in {took:.0f} ms")
    open_console(stderr=True).print(line)
    print_json(read_json(payload))
