"""JSON Schemas of recipes, made from the dataclasses that they are read into, for editors to complete by."""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import Any, TypeAlias

Schema: TypeAlias = dict[str, Any]

_SCALARS: dict[Any, Schema] = {
    Any: {},
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    types.NoneType: {"type": "null"},
}


def json_schema(cls: type, title: str) -> Schema:
    """The schema (draft 2020-12) of recipes that become a `cls`. It knows keys, types and choices; what a dataclass
    checks of its values besides, only `load_recipe` does."""
    shared: dict[str, Schema] = {}
    top = _mapping(cls, shared)
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title}
    return {**head, **top, **({"$defs": shared} if shared else {})}


def _mapping(cls: Any, shared: dict[str, Schema]) -> Schema:
    hints = typing.get_type_hints(cls)
    fields = [field for field in dataclasses.fields(cls) if field.init]
    required = [f.name for f in fields if f.default is f.default_factory is dataclasses.MISSING]
    return {
        "type": "object",
        "properties": {f.name: {**_value(hints[f.name], shared), **_default(f.default)} for f in fields},
        **({"required": required} if required else {}),
        "additionalProperties": False,
    }


def _default(value: Any) -> Schema:
    return {"default": value} if value is None or isinstance(value, (str, int, float, bool)) else {}


def _value(hint: Any, shared: dict[str, Schema]) -> Schema:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        name = getattr(hint, "__name__", str(hint))
        if name not in shared:
            shared[name] = {}  # stands for itself while its fields are looked at
            shared[name] = _mapping(hint, shared)
        return {"$ref": f"#/$defs/{name}"}
    if origin in (typing.Union, types.UnionType):
        return {"anyOf": [_value(member, shared) for member in args]}
    if origin is typing.Literal:
        return {"enum": list(args)}
    if origin is dict:
        return {"type": "object", "additionalProperties": _value(args[1], shared)}
    if origin is list or (origin is tuple and args[-1] is Ellipsis):
        return {"type": "array", "items": _value(args[0], shared)}
    if origin is tuple:
        items = [_value(each, shared) for each in args]
        return {"type": "array", "prefixItems": items, "minItems": len(items), "maxItems": len(items)}
    if hint not in _SCALARS:
        raise TypeError(f"recipes cannot hold a {hint}")
    return dict(_SCALARS[hint])
