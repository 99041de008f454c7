"""Command lines become programs, without a shell between."""

from __future__ import annotations

import pytest

from upnext.api.static.command import Step, steps_of


@pytest.mark.parametrize(
    ("command", "steps"),
    [
        ("npm run build", [Step(("npm", "run", "build"))]),
        (
            "corepack enable && pnpm install --frozen-lockfile",
            [Step(("corepack", "enable")), Step(("pnpm", "install", "--frozen-lockfile"))],
        ),
        ("a&&b", [Step(("a",)), Step(("b",))]),
        ("A=1 B='x y' make x=2", [Step(("make", "x=2"), (("A", "1"), ("B", "x y")))]),
        ("vite build --base=/app/ # no", [Step(("vite", "build", "--base=/app/", "#", "no"))]),
        ("echo 'a && b; c | d' \"(e)\" 'f'&&g", None),
        ("tsc -p 'src/**/*.ts' @scope/pkg@1.2 --x:y", None),
    ],
)
def test_it_reads(command: str, steps: list[Step] | None) -> None:
    read = steps_of(command)

    if steps is not None:
        assert list(read) == steps


def test_operators_in_quotes_are_text() -> None:
    assert steps_of("echo 'a && b; c | d' \"(e)\"")[0].words == ("echo", "a && b; c | d", "(e)")


@pytest.mark.parametrize("operator", ["|", ";", ">", "<", "||", "&", ">>", "(", "2>&1", "|&"])
def test_what_only_a_shell_can_do_is_refused(operator: str) -> None:
    with pytest.raises(ValueError, match="run without a shell") as caught:
        steps_of(f"npm run build {operator} x")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("command", ["echo $HOME", 'echo "$(id)"', "echo `id`", "a ${B}"])
def test_nothing_is_substituted(command: str) -> None:
    with pytest.raises(ValueError, match="run without a shell"):
        steps_of(command)


@pytest.mark.parametrize("command", ["", "a &&", "&& a", "a && && b", "X=1", "a && X=1"])
def test_each_part_names_a_program(command: str) -> None:
    with pytest.raises(ValueError, match="names no program"):
        steps_of(command)


@pytest.mark.parametrize("command", ["echo 'a", 'echo "a', "echo a\\"])
def test_quotes_have_an_end(command: str) -> None:
    with pytest.raises(ValueError, match="cannot be read"):
        steps_of(command)


@pytest.mark.parametrize("command", ["a\nb", "a\x00", "a\x1b[2J"])
def test_control_characters_are_refused(command: str) -> None:
    with pytest.raises(ValueError, match="control character") as caught:
        steps_of(command)
    assert "\n" not in str(caught.value)
