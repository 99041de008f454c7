"""The arguments of a call as one JSON object.

Parameter name -> value; what `*args` collected as a list under "*<name>", what `**kwargs` collected
as an object under "**<name>". Only what the caller gave is in it: defaults are Python's, applied
when the function runs.

This is on the path of every job: what depends on the function alone is worked out once.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from inspect import Parameter
from typing import Any, cast

from attrs import field, frozen

from upnext.contracts.codec.annotations import hints_of
from upnext.contracts.codec.fields import Field, field_of
from upnext.contracts.codec.text import dumps, loads, sorted_json
from upnext.errors import CodecError

_NOTHING = b"{}"
_ROOT = "arguments"

Call = tuple[tuple[Any, ...], dict[str, Any]]


@frozen
class ArgumentsCodec:
    """Writes and reads the arguments of one function."""

    _name: str
    _signature: inspect.Signature = field(repr=False)
    _positional: tuple[str, ...] = field(repr=False)
    """Parameters that may be given by position, in order."""
    _named: frozenset[str] = field(repr=False)
    """Parameters that may be given by name."""
    _required: frozenset[str] = field(repr=False)
    _least: int = field(repr=False)
    """So many positional arguments make a complete call; -1 where names are needed, too."""
    _lone: str | None = field(repr=False)
    """The parameter that gets the argument of a call which passes one by position; None: that is
    no complete call."""
    _only_positional: int = field(repr=False)
    """How many parameters can be given by position alone."""
    _rest: str | None = field(repr=False)
    """The name of `*args`."""
    _others: str | None = field(repr=False)
    """The name of `**kwargs`."""
    _fields: dict[str, Field] = field(repr=False)
    """Keys of the object whose values need more than JSON."""

    @classmethod
    def of(
        cls, function: Callable[..., Any], hints: Mapping[str, Any] | None = None
    ) -> ArgumentsCodec:
        """The codec for calls of a function.

        Args:
            function: What is to be called.
            hints: Its resolved annotations, where the caller has them already.

        Raises:
            ValueError: the function has no signature (some builtins).
        """
        if hints is None:
            hints = hints_of(function)
        signature = inspect.signature(function)
        every = list(signature.parameters.values())
        by_kind = (
            {kind: [p for p in every if p.kind is kind] for kind in type(every[0].kind)}
            if (every)
            else {}
        )

        def of_kind(*kinds: Any) -> list[Parameter]:
            return [p for kind in kinds for p in by_kind.get(kind, ())]

        positional = of_kind(Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
        named = of_kind(Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
        rest, others = of_kind(Parameter.VAR_POSITIONAL), of_kind(Parameter.VAR_KEYWORD)
        names_needed = any(p.default is p.empty for p in of_kind(Parameter.KEYWORD_ONLY))
        least = -1 if names_needed else sum(p.default is p.empty for p in positional)
        fields = {
            _key(parameter): made
            for parameter in every
            if (made := field_of(_whole(parameter, hints))) is not None
        }
        return cls(
            getattr(function, "__name__", type(function).__name__),
            signature,
            tuple(p.name for p in positional),
            frozenset(p.name for p in named),
            frozenset(p.name for p in (*positional, *named) if p.default is p.empty),
            least,
            positional[0].name if positional and 0 <= least <= 1 else None,
            len(of_kind(Parameter.POSITIONAL_ONLY)),
            rest[0].name if rest else None,
            others[0].name if others else None,
            fields,
        )

    @property
    def others(self) -> str | None:
        """The name of its `**kwargs`, if it has them."""
        return self._others

    def takes(self, name: str) -> bool:
        """Whether the function has a parameter of this name."""
        return name in self._signature.parameters

    @property
    def parameters(self) -> list[str]:
        """The names of the function's parameters."""
        return list(self._signature.parameters)

    def bound(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """The arguments of a call by parameter, defaults included.

        Raises:
            TypeError: the function cannot be called like this.
        """
        bound = self._bound(args, kwargs)
        bound.apply_defaults()
        return bound.arguments

    def canonical(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        """The arguments of a call in a form that equal calls share.

        However they are passed, a default that is given and one that is left out are the same;
        so are objects whose keys come in another order.

        Raises:
            TypeError: the function cannot be called like this.
            CodecError: a value cannot be written.
        """
        given = self.bound(args, kwargs)
        written: dict[str, Any] = {}
        for name, parameter in self._signature.parameters.items():
            value, key = given[name], _key(parameter)
            made = self._fields.get(key)
            try:
                plain = value if made is None or value is None else made.write(value, key)
                written[key] = sorted_json(plain, key)
            except CodecError:
                if value is not parameter.default:  # a default is never stored, only applied
                    raise
        return dumps(written, _ROOT)

    def encode(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        """Write the arguments of a call.

        Raises:
            TypeError: the function cannot be called like this.
            CodecError: a value cannot be written, or would not come back the same.
        """
        given: dict[str, Any]
        if len(args) == 1 and self._lone is not None and not kwargs:  # most calls
            given = {self._lone: args[0]}
        elif not kwargs and 0 <= self._least <= len(args) <= len(self._positional):
            if not args:
                return _NOTHING
            given = dict(zip(self._positional, args, strict=False))
        elif not args and self._named >= kwargs.keys() >= self._required:
            given = kwargs
        else:
            given = self._mix(args, kwargs) or self._bind(args, kwargs)
        if self._fields:
            given = {
                name: value if (made := self._fields.get(name)) is None else made.write(value, name)
                for name, value in given.items()
            }
        try:
            return dumps(given, "")
        except CodecError as error:
            raise CodecError(error.path.lstrip(".") or _ROOT, error.problem) from error.__cause__

    def decode(self, data: bytes) -> Call:
        """Read the arguments of a call: what to call the function with.

        Raises:
            CodecError: a value is not what the annotation says.
        """
        if data == _NOTHING:
            return (), {}
        given = loads(data, _ROOT)
        if type(given) is not dict:
            raise CodecError(_ROOT, "not a JSON object")
        kwargs = cast("dict[str, Any]", given)
        for name, made in self._fields.items():
            if name in kwargs:
                kwargs[name] = made.read(kwargs[name], name)
        if self._only_positional or self._rest or self._others:
            return self._spread(kwargs)
        return (), kwargs

    def _mix(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any] | None:
        """A call with both kinds of arguments and without `*args` or `**kwargs`."""
        if len(args) > len(self._positional) or not self._named >= kwargs.keys():
            return None
        given = dict(zip(self._positional, args, strict=False))
        if not given.keys().isdisjoint(kwargs):
            return None
        given.update(kwargs)
        return given if given.keys() >= self._required else None

    def _bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        given = self._bound(args, kwargs).arguments
        for name, key in ((self._rest, f"*{self._rest}"), (self._others, f"**{self._others}")):
            if name in given:
                given[key] = given.pop(name)
        return given

    def _bound(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> inspect.BoundArguments:
        try:
            return self._signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{self._name}(): {error}") from None

    def _spread(self, given: dict[str, Any]) -> Call:
        rest = given.pop(f"*{self._rest}", ())
        others = given.pop(f"**{self._others}", {})
        # With something for `*args`, whatever stands before it must be positional as well.
        names = self._positional if rest else self._positional[: self._only_positional]
        args = [given.pop(name) for name in names if name in given]
        return (*args, *rest), {**given, **others}


def _key(parameter: Parameter) -> str:
    stars = {Parameter.VAR_POSITIONAL: "*", Parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
    return stars + parameter.name


def _whole(parameter: Parameter, hints: Mapping[str, Any]) -> Any:
    """The annotation of everything that is stored under the parameter's key."""
    hint = hints.get(parameter.name, Any)
    if parameter.kind is Parameter.VAR_POSITIONAL:
        return list[hint]
    if parameter.kind is Parameter.VAR_KEYWORD:
        return dict[str, hint]
    return hint
