"""A child process ends with all that it started, whatever it does about it."""

from __future__ import annotations

import signal
import sys
from functools import partial
from pathlib import Path

import anyio
import pytest

from tests.support.children import LIMIT, Lines, Watched, script
from upnext.api.static.child import LONGEST, run_child
from upnext.api.static.command import Step

GRANDCHILD = """
    import os, signal, subprocess, sys, time
    stubborn = "stubborn" in sys.argv
    name = "parent" if "child" not in sys.argv else "child"
    def say(*words):  # in one write, since two processes share the pipe
        os.write(1, (" ".join(map(str, words)) + "\\n").encode())
    def stop(number, frame):
        say(name, "was told", number)
        if not stubborn:
            sys.exit(7)
    signal.signal(signal.SIGTERM, stop)
    if name == "parent":
        child = subprocess.Popen([sys.executable, __file__, "child", *sys.argv[1:]])
        say("child", child.pid)
        if "leave" in sys.argv:
            sys.exit(0)
    say(name, "waits")
    while True:
        time.sleep(1000)
"""


def with_words(step: Step, *words: str) -> Step:
    return Step((*step.words, *words))


async def run(step: Step, lines: Lines, cwd: Path, **options: object) -> int:
    with anyio.fail_after(LIMIT):
        return await run_child(step, sys.executable, cwd=cwd, on_line=lines, **options)  # type: ignore[arg-type]


async def test_output_comes_line_by_line_in_plain_text(tmp_path: Path) -> None:
    lines = Lines()
    step = script(
        tmp_path,
        "say.py",
        r"""
        import os, sys
        os.write(1, b"\x1b[32mgreen\x1b[0m \x1b]8;;http://x\x1b\\link\x1b]8;;\x07\r\n")
        os.write(1, b" 10%\r 50%\r100%\n\n   \n")
        os.write(2, b"to stderr \x00\x07\n")
        os.write(1, "caf\u00e9".encode()[:-1]); os.write(1, "\u00e9\n".encode()[1:])
        os.write(1, b"\xff\n" + b"x" * 10000 + b"\n")
        os.write(1, b"no end")
        sys.exit(3)
        """,
    )

    assert await run(step, lines, tmp_path) == 3
    assert lines.all == [
        "green link", "100%", "to stderr", "café", "\ufffd", "x" * LONGEST, "no end",
    ]  # fmt: skip


async def test_where_it_runs_with_which_environment_and_input(tmp_path: Path) -> None:
    lines = Lines()
    step = script(
        tmp_path,
        "look.py",
        """
        import os, sys
        print(os.getcwd(), os.environ["ONE"], "PATH" in os.environ, os.getpgid(0) == os.getpid())
        print(repr(sys.stdin.read()))
        """,
    )

    assert await run(Step(step.words, (("ONE", "1 2"),)), lines, tmp_path) == 0
    assert lines.all == [f"{tmp_path} 1 2 True True", "''"]


async def test_input_that_is_kept_ends_with_it(tmp_path: Path) -> None:
    lines = Lines()
    step = script(
        tmp_path,
        "listen.py",
        """
        import select, sys
        print("ended" if select.select([sys.stdin], [], [], 0.05)[0] else "open")
        """,
    )

    assert await run(step, lines, tmp_path, keep_stdin=True) == 0
    assert lines.all == ["open"]


async def test_a_signal_is_a_negative_code(tmp_path: Path) -> None:
    step = script(tmp_path, "die.py", "import os; os.kill(os.getpid(), 9)")
    assert await run(step, Lines(), tmp_path) == -signal.SIGKILL


async def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await run_child(Step(("x",)), str(tmp_path / "x"), cwd=tmp_path, on_line=Lines())


@pytest.mark.parametrize("words", [(), ("stubborn",)])
async def test_cancelled_it_takes_its_children_along(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    lines = Lines()
    step = with_words(script(tmp_path, "family.py", GRANDCHILD), *words)
    with anyio.fail_after(LIMIT):
        async with anyio.create_task_group() as group:
            start = partial(
                run_child, step, sys.executable, cwd=tmp_path, on_line=lines,
                grace=0.2 if words else LIMIT,
            )  # fmt: skip
            parent = Watched(await group.start(start))
            child = Watched(int(await lines.find("child ")))
            await lines.find("parent waits")
            await lines.find("child waits")
            group.cancel_scope.cancel()
    assert {"parent was told 15", "child was told 15"} <= set(lines.all)
    await parent.ended()
    await child.ended()


async def test_what_a_program_leaves_behind_ends_with_it(tmp_path: Path) -> None:
    left: list[Watched] = []

    def watch(line: str) -> None:
        if line.startswith("child ") and not left:
            left.append(Watched(int(line.removeprefix("child "))))

    step = with_words(script(tmp_path, "family.py", GRANDCHILD), "leave", "stubborn")
    with anyio.fail_after(LIMIT):
        code = await run_child(step, sys.executable, cwd=tmp_path, on_line=watch, grace=0.2)
    assert code == 0
    await left[0].ended()


async def test_a_program_may_say_much_while_it_ends(tmp_path: Path) -> None:
    lines = Lines()
    step = script(
        tmp_path,
        "talk.py",
        """
        import signal, sys, time
        def stop(*_):
            for n in range(20000):
                print("line", n, "." * 80)
            sys.exit(0)
        signal.signal(signal.SIGTERM, stop)
        print("ready")
        while True:
            time.sleep(1000)
        """,
    )
    with anyio.fail_after(LIMIT):
        async with anyio.create_task_group() as group:
            start = partial(
                run_child, step, sys.executable, cwd=tmp_path, on_line=lines, grace=LIMIT
            )
            await group.start(start)
            await lines.find("ready")
            group.cancel_scope.cancel()
    assert len(lines.all) == 20001
