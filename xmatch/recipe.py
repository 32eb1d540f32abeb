"""Recipes: YAML files read strictly into frozen dataclasses.

A recipe comes from anywhere, so it is data and nothing else: at most 1 MiB, no tags that build objects, no
aliases (the stuff of "billion laughs"), no duplicate keys. Every complaint names the file and the line.
Paths stay as they are written; whoever uses one resolves it against the recipe's folder.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import re
import types
import typing
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import yaml

from xmatch.errors import UsageError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

MAX_BYTES = 2**20
"""Larger than any honest recipe."""

# YAML 1.1 would read 010 as 8 and 1:30 as 90, and PyYAML reads 1e-4 as text: numbers are taken as people write them.
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9_]*)")
_TYPE_WORDS = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}

_PLAIN = ("null", "bool", "int", "float", "str", "seq", "map", "timestamp", "merge", "value")
"""What YAML 1.1 makes of untagged values; the last three fit no field and are refused there."""

T = TypeVar("T", bound="DataclassInstance")


def load_recipe(path: str | PathLike[str], cls: type[T]) -> T:
    """The recipe in `path` as an instance of the dataclass `cls`.

    Fields may be str, int, float, bool, Literal, None, unions of these, tuple, list, dict[str, ...] and further
    dataclasses. A ValueError raised by a dataclass's own `__post_init__` is reported at the line of its mapping.

    Raises:
        UsageError: not a readable file, not plain YAML, an unknown or missing key, a value of the wrong type.
    """
    try:
        return _build(_parse(_read(path)), cls, "the recipe")
    except _Complaint as complaint:
        raise UsageError(f"line {complaint.line}: {complaint}", path=path) from None


class _Mark(Protocol):
    """Of either of PyYAML's parsers."""

    line: int
    """From 0."""


class _Complaint(Exception):
    def __init__(self, message: str, at: _Mark | int | None) -> None:
        """`at`: where in the file; or the line, from 0."""
        super().__init__(message)
        self.line = 1 + (at if isinstance(at, int) else at.line if at else 0)


class _Loader(yaml.SafeLoader):
    """Plain YAML, neither aliases nor tags; stops at nodes, whose marks know their line."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            alias: yaml.Event = self.get_event()  # type: ignore[no-untyped-call]  # of types-PyYAML
            raise _Complaint("aliases (*name) are not allowed in recipes; write the value out", alias.start_mark)
        node = super().compose_node(parent, index)
        if node is not None and node.tag.rpartition("2002:")[2] not in _PLAIN:
            raise _Complaint(f"the tag {node.tag!r} is refused; recipes hold plain values only", node.start_mark)
        return node


def _read(path: str | PathLike[str]) -> str:
    file = Path(path)
    if not file.exists():
        raise UsageError("no such recipe", path=path)
    if not file.is_file():
        raise UsageError("a recipe must be a regular file", path=path)
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", path=path) from error
    if len(data) > MAX_BYTES:
        raise UsageError(f"is larger than {MAX_BYTES} bytes, too large for a recipe", path=path)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise UsageError(f"line {line}: not UTF-8 text", path=path) from None


def _parse(text: str) -> yaml.Node | None:
    try:
        return yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reason = error.problem or "not YAML"
        if mark is not None and "\\t" in reason:
            reason = "a tab; YAML indents with spaces only"
        raise _Complaint(reason, mark) from None
    except yaml.reader.ReaderError as error:
        line = text[: error.position].count("\n")
        raise _Complaint("a control character, not text", line) from None
    except RecursionError:
        raise _Complaint("nested too deeply", None) from None


def _build(node: yaml.Node | None, cls: type[T], where: str) -> T:
    """One mapping as one dataclass."""
    mark = node.start_mark if node is not None else None
    given = _mapping(node, where) if node is not None and not _is_null(node) else {}
    hints = typing.get_type_hints(cls)
    fields = {f.name: f for f in dataclasses.fields(cls) if f.init}
    values = {}
    for key, (key_node, value_node) in given.items():
        if key not in fields:
            raise _Complaint(_unknown(key, list(fields), where), key_node.start_mark)
        values[key] = _value(value_node, hints[key], key)
    for name, field in fields.items():
        if name not in values and field.default is field.default_factory is dataclasses.MISSING:
            raise _Complaint(f"{where} lacks the key {name!r}", mark)
    try:
        return cls(**values)
    except ValueError as error:
        raise _Complaint(f"{where}: {error}", mark) from None


def _mapping(node: yaml.Node, where: str) -> dict[str, tuple[yaml.Node, yaml.Node]]:
    if not isinstance(node, yaml.MappingNode):
        raise _wrong(node, where, "key: value pairs")
    items: dict[str, tuple[yaml.Node, yaml.Node]] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise _Complaint("a key must be a plain word", key.start_mark)
        if key.value in items:
            first = items[key.value][0].start_mark.line + 1
            raise _Complaint(f"the key {key.value!r} is given twice (first in line {first})", key.start_mark)
        items[key.value] = key, value
    return items


def _value(node: yaml.Node, hint: Any, key: str) -> Any:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return _plain(node, key)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return _build(node, hint, key)
    if origin in (typing.Union, types.UnionType):
        return _union(node, args, key)
    if origin is typing.Literal:
        return _choice(node, args, key)
    if origin in (tuple, list):
        return _sequence(node, origin, args, key)
    if origin is dict:
        return {k: _value(v, args[1], f"{key}.{k}") for k, (_, v) in _mapping(node, key).items()}
    return _scalar(node, hint, key)


def _union(node: yaml.Node, members: tuple[Any, ...], key: str) -> Any:
    """The first member that fits; a single non-null member speaks for itself when none does."""
    if types.NoneType in members and _is_null(node):
        return None
    members = tuple(m for m in members if m is not types.NoneType)
    for member in members[:-1]:
        try:
            return _value(node, member, key)
        except _Complaint:
            pass
    return _value(node, members[-1], key)


def _choice(node: yaml.Node, choices: tuple[Any, ...], key: str) -> Any:
    for choice in choices:
        if choice is None and _is_null(node):
            return None
        try:
            if choice is not None and _scalar(node, type(choice), key) == choice:
                return choice
        except _Complaint:
            pass
    shown = ", ".join(map(str, choices))
    raise _wrong(node, key, f"one of {shown}", _nearest(getattr(node, "value", ""), [str(c) for c in choices]))


def _sequence(node: yaml.Node, kind: type, args: tuple[Any, ...], key: str) -> Any:
    if not isinstance(node, yaml.SequenceNode):
        raise _wrong(node, key, "a list")
    if kind is list or args[-1] is Ellipsis:
        hints = [args[0]] * len(node.value)
    elif len(args) == len(node.value):
        hints = list(args)
    else:
        raise _Complaint(f"{key}: {len(node.value)} values, want {len(args)}", node.start_mark)
    return kind(_value(n, h, f"{key}[{i}]") for i, (n, h) in enumerate(zip(node.value, hints, strict=True)))


def _scalar(node: yaml.Node, hint: type, key: str) -> Any:
    if hint not in _TYPE_WORDS:
        raise TypeError(f"recipes cannot hold a {hint}")
    if not isinstance(node, yaml.ScalarNode):
        raise _wrong(node, key, _TYPE_WORDS[hint])
    tag, text = node.tag.rpartition(":")[2], node.value
    plain = node.style is None
    if hint is str and tag == "str":
        return text
    if hint is bool and plain and tag == "bool":
        return yaml.SafeLoader.bool_values[text.lower()]
    if hint is int and plain and _INTEGER.fullmatch(text):
        return int(text)
    if hint is float and plain and tag in ("int", "float", "str"):
        try:
            # YAML spells them .nan and .inf.
            number = float(text.replace(".nan", "nan").replace(".inf", "inf") if tag == "float" else text)
        except ValueError:
            raise _wrong(node, key, _TYPE_WORDS[hint]) from None
        if math.isfinite(number):
            return number
        raise _wrong(node, key, "a finite number")
    advice = "put it in quotes" if hint is str and plain else ""
    raise _wrong(node, key, _TYPE_WORDS[hint], advice)


def _plain(node: yaml.Node, key: str) -> Any:
    """A value whose field is typed Any: what safe YAML makes of it."""
    if isinstance(node, yaml.MappingNode):
        return {k: _plain(v, f"{key}.{k}") for k, (_, v) in _mapping(node, key).items()}
    if isinstance(node, yaml.SequenceNode):
        return [_plain(n, f"{key}[{i}]") for i, n in enumerate(node.value)]
    if _is_null(node):
        return None
    kind = {"bool": bool, "int": int, "float": float}.get(node.tag.rpartition(":")[2], str)
    return _scalar(node, kind, key)


def _is_null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"


def _wrong(node: yaml.Node, key: str, wanted: str, advice: str = "") -> _Complaint:
    if isinstance(node, yaml.ScalarNode):
        found = repr(node.value[:40])
    else:
        found = "a list" if isinstance(node, yaml.SequenceNode) else "a mapping"
    return _Complaint(f"{key}: {found} is not {wanted}" + (f"; {advice}" if advice else ""), node.start_mark)


def _unknown(key: str, known: list[str], where: str) -> str:
    nearest = _nearest(key, known)
    advice = f" {nearest}" if nearest else ""
    return f"unknown key {key!r} in {where};{advice} known keys: {', '.join(known)}"


def _nearest(word: str, known: list[str]) -> str:
    near = difflib.get_close_matches(str(word), known, n=1)
    return f"did you mean {near[0]!r}?" if near else ""


def resolve(recipe_path: str | PathLike[str], written: str, base: str | PathLike[str] | None = None) -> str:
    """A path as written in a recipe, made absolute against `base`, by default the recipe's own folder."""
    folder = Path(recipe_path).parent if base is None else Path(base)
    return fspath(folder.resolve() / Path(written).expanduser())
