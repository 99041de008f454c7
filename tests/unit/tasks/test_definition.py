"""What a task may be, and what it says of itself."""

from __future__ import annotations

import functools
from datetime import timedelta
from importlib.util import module_from_spec, spec_from_file_location

import orjson
import pytest

from upnext.errors import ConfigurationError
from upnext.tasks.definition import TaskDefinition
from upnext.tasks.registry import Registry, merge


async def send(to: str) -> int: ...
def resize(width: int) -> None: ...
def stream():
    yield 1


class Callable:
    async def __call__(self, n: int) -> int: ...


def define(function=send, **options):
    return TaskDefinition(function=function, **{"name": "send", **options})


def test_what_it_knows_of_its_function() -> None:
    definition = define()
    assert definition.is_async
    assert definition.place == f"{__file__}:{send.__code__.co_firstlineno}"
    assert definition.source == (__name__, __file__)
    assert definition.qualname == "send"
    assert not define(resize).is_async
    assert define(functools.partial(send, "a")).is_async
    assert define(functools.partial(send, "a")).qualname == "send"
    assert define(Callable()).is_async
    assert define(Callable()).line == Callable.__call__.__code__.co_firstlineno


def test_codecs_are_made_once() -> None:
    definition = define()
    assert definition.arguments is definition.arguments
    assert definition.result is definition.result
    assert definition.arguments.encode(("a",), {}) == b'{"to":"a"}'


def test_the_description_says_all() -> None:
    described = orjson.loads(
        define(
            retries=2,
            retry_delay=timedelta(seconds=3),
            retry_on=(OSError, ValueError),
            no_retry_on=KeyError,
            rate_limit="10/minute",
            timeout=timedelta(minutes=1),
        ).describe()
    )
    assert described["name"] == "send"
    assert described["retries"] == 2
    assert described["retry_delay"] == 3
    assert described["retry_on"] == ["OSError", "ValueError"]
    assert described["no_retry_on"] == ["KeyError"]
    assert described["rate_limit"] == {"count": 10, "seconds": 60}
    assert described["timeout"] == 60


def test_defaults() -> None:
    definition = define(name=" send ")
    assert definition.name == "send"
    assert definition.timeout == 1800
    assert definition.max_attempts == 1
    assert definition.hooks == ()
    assert definition.retries_on(ValueError)


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "  "},
        {"name": None},
        {"retries": -1},
        {"retry_delay": -1},
        {"retry_backoff": 0.9},
        {"timeout": 0},
        {"timeout": -1},
        {"cache_key": ""},
        {"cache_ttl": 0},
        {"rate_limit": "fast"},
        {"max_concurrency": 0},
        {"routing_group": " "},
        {"group_max_concurrency": 0},
        {"retries": 2.0},
        {"retry_on": 5},
        {"retry_on": (int,)},
        {"retry_on": ""},
        {"no_retry_on": "ValueError"},
        {"no_retry_on": KeyError()},
        {"rate_limit": 5},
        {"rate_limit": b"5/s"},
        {"cache_ttl": "60"},
        {"cache_ttl": 2**53},
        {"max_concurrency": 10**30},
        {"max_deliveries": True},
        {"routing_group": 5},
        {"dead_letter": "no"},
        {"capture_logs": 1},
        {"on_start": 5},
    ],
    ids=repr,
)
def test_wrong_options_are_refused_by_name(wrong) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))) as caught:
        define(**wrong)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("option", ["retry_on", "no_retry_on"])
@pytest.mark.parametrize("value", [5, "ValueError", ["ValueError"], KeyError("a"), int], ids=repr)
def test_kinds_of_errors_are_exception_classes(option: str, value: object) -> None:
    shown = value[0] if isinstance(value, list) else value
    with pytest.raises(ValueError, match=f"^{option} must name exception classes, not") as caught:
        define(**{option: value})
    assert str(caught.value).endswith(repr(shown))


@pytest.mark.parametrize("wrong", [5, stream])
def test_wrong_functions_are_refused(wrong) -> None:
    with pytest.raises(TypeError):
        define(wrong)


def test_a_name_means_one_function() -> None:
    first, second = define(send), define(resize)
    registry = Registry([first])
    with pytest.raises(ConfigurationError) as caught:
        registry.add(second)
    assert first.place in str(caught.value)
    assert second.place in str(caught.value)
    assert registry.get("send") is first
    with pytest.raises(ConfigurationError):
        merge([Registry([first]), Registry([second])])


def test_two_closures_of_one_function_are_two_functions() -> None:
    def make(n):
        def send():
            return n

        return send

    with pytest.raises(ConfigurationError):
        Registry([define(make(1)), define(make(2))])


def test_a_module_imported_twice_is_no_clash() -> None:
    source = compile("def send(): ...", "/somewhere/jobs.py", "exec")
    again = compile("def send(): ...", "/somewhere/jobs.py", "exec")
    one, other = {}, {}
    exec(source, one)
    exec(again, other)
    assert len(Registry([define(one["send"]), define(other["send"])])) == 1


def test_a_task_keeps_its_queue_wherever_its_module_is(tmp_path) -> None:
    tags = set()
    for folder in ("shop", "shop/jobs"):
        place = tmp_path / folder
        place.mkdir(parents=True)
        (place / "tasks.py").write_text("async def send(to: str) -> int: ...\n")
        spec = spec_from_file_location(folder.replace("/", ".") + ".tasks", place / "tasks.py")
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
        definition = define(module.send)
        assert definition.module == module.__name__
        tags.add((definition.name, definition.tag))
    assert tags == {("send", "send")}


def test_an_unknown_name_lists_the_known_ones() -> None:
    registry = Registry([define(name="resize_image"), define(name="send_mail")])
    with pytest.raises(LookupError, match=r"Did you mean 'send_mail'.*resize_image, send_mail"):
        registry.get("sendmail")
    assert [definition.name for definition in registry] == registry.names
    assert "send_mail" in registry
    assert registry.find("nothing") is None
