"""Both ways of writing a path."""

from __future__ import annotations

import pytest

from upnext import ConfigurationError
from upnext.api.paths import Path, template_of


@pytest.mark.parametrize(
    ("text", "template", "rule", "names"),
    [
        ("/", "/", "/", ()),
        ("/orders/{id}", "/orders/{id}", "/orders/<id>", ("id",)),
        ("/orders/<id>", "/orders/{id}", "/orders/<id>", ("id",)),
        ("/orders/<int:id>/x", "/orders/{id}/x", "/orders/<int:id>/x", ("id",)),
        ("/{a}/<path:b>", "/{a}/{b}", "/<a>/<path:b>", ("a", "b")),
        ("/files/{name:path}", "/files/{name}", "/files/<path:name>", ("name",)),
        ("/<any(a,b):kind>", "/{kind}", "/<any(a,b):kind>", ("kind",)),
    ],
)
def test_a_path_is_read(text: str, template: str, rule: str, names: tuple[str, ...]) -> None:
    assert Path.parse(text) == Path(template, rule, names)
    assert template_of(rule) == template


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("orders", "must begin with '/'"),
        ("/{id", "a bracket that is no parameter"),
        ("/{a-b}", "a bracket that is no parameter"),
        ("/{id}/{id}", "names a parameter twice"),
        ("/{id:regex}", "'regex' is none of str, int, float, path, uuid"),
    ],
)
def test_what_is_no_path_is_refused(text: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        Path.parse(text)
