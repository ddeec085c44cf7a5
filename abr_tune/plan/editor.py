"""The JSON Schema of space files (the draft-07 subset editors know), made from the models and their docstrings."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from pydantic import BaseModel, TypeAdapter

from abr_tune.plan.docs import field_doc
from abr_tune.plan.methods import PRUNERS, SAMPLERS
from abr_tune.plan.metric_names import METRICS
from abr_tune.plan.overrides import Option, option_paths
from abr_tune.plan.schema import ObjectiveSection, Section, SpaceFile, StagesFile
from abr_tune.plan.spread import DISTRIBUTIONS
from core.tasks import TASKS

DRAFT: Final = "http://json-schema.org/draft-07/schema#"
_TIME: Final = {"type": ["string", "number"], "examples": ["10m", "1h 30m"]}
_SIZE: Final = {"type": ["string", "number"], "examples": ["2GiB", "500MB"]}

Schema = dict[str, Any]


def editor_schema() -> str:
    """The schema as JSON text; the same for the same models."""
    definitions: Schema = {}
    top = _model(SpaceFile, definitions)
    paths = _option_schemas(definitions)
    properties = top["properties"]
    properties["task"]["anyOf"] = [{"enum": list(TASKS)}, {"pattern": "^[^:]+:[^:]+$"}]
    properties["data"] = _described(properties["data"], _data(definitions))
    properties["train"] |= {"properties": paths}
    properties["search"] |= {"properties": _searched(paths, definitions), "patternProperties": _searched_inside()}
    properties["start_from"]["items"] = {"type": "object", "properties": {"name": {"type": "string"}, **paths}}
    properties["objective"] = _described(properties["objective"], _one_or_several(definitions))
    properties["health"] |= {"properties": _health(definitions)}
    for key in ("gate", "constraints"):
        properties[key]["propertyNames"] = {"anyOf": [{"enum": _metrics()}, {"pattern": "^(train|val)/.+/.+$"}]}
    for key, table in (("pruner", PRUNERS), ("sampler", SAMPLERS)):
        properties[key] = _described(properties[key], _by_name_or_with_settings(table, definitions))
    for section in ("BudgetSection", "LimitsSection"):
        definitions[section]["properties"]["time"] |= _TIME
    definitions["LimitsSection"]["properties"]["memory"] |= _SIZE
    either = _or_stages(top, definitions)
    schema = {
        "$schema": DRAFT,
        **top,
        "title": "abr-tune space file",
        "allOf": [either, *(_only_known_paths(name) for name in TASKS)],
        "definitions": dict(sorted(definitions.items())),
    }
    return json.dumps(_draft_07(schema), indent=1, ensure_ascii=False) + "\n"


def _or_stages(top: Schema, definitions: Schema) -> Schema:
    """Let `stages` stand among the keys of a search, and say which keys go together: its own, or those of a search."""
    stages = _model(StagesFile, definitions)
    top["properties"]["stages"] = stages["properties"]["stages"]
    search = {"required": top.pop("required")}
    return {
        "if": {"required": ["stages"]},
        "then": {"propertyNames": {"enum": list(stages["properties"])}},
        "else": search,
    }


def _model(model: type[BaseModel], definitions: Schema) -> Schema:
    """The schema of a model with its fields' docstrings; what it refers to goes into `definitions`."""
    schema = model.model_json_schema(by_alias=True, ref_template="#/definitions/{model}")
    definitions.update(schema.pop("$defs", {}))
    _add_docs(model, schema, definitions)
    return schema


def _add_docs(model: type[BaseModel], schema: Schema, definitions: Schema) -> None:
    for option in option_paths(model).values():
        target = schema if option.owner is model and "." not in option.path else definitions.get(option.owner.__name__)
        doc = field_doc(option.owner, option.name)
        key = option.path.rpartition(".")[2]
        if target and doc:
            target["properties"][key].setdefault("description", doc)


def _option_schemas(definitions: Schema) -> Schema:
    """Option path of any task -> schema of its value; also the groups, whose options may be nested."""
    schemas: dict[str, list[Schema]] = {}
    for task in TASKS.values():
        for path, option in option_paths(task.options).items():
            schemas.setdefault(path, []).append(_option(option, definitions))
    return {path: _any_of(found) for path, found in schemas.items()}


def _any_of(schemas: Sequence[Schema]) -> Schema:
    """What one of the schemas allows, described as the first is."""
    plain = [{key: value for key, value in schema.items() if key != "description"} for schema in schemas]
    kinds = list(_distinct(plain))
    return schemas[0] if len(kinds) == 1 else _described(schemas[0], {"anyOf": kinds})


def _only_known_paths(task: str) -> Schema:
    """For files of a task of this package: other paths than its options, other rules than its rules are mistakes."""
    known = option_paths(TASKS[task].options)
    inside = [{"pattern": _inside(path)} for path in known.open]
    only = {"propertyNames": {"anyOf": [{"enum": list(known)}, *inside]}}
    named = {"propertyNames": {"anyOf": [{"enum": ["name", *known]}, *inside]}}
    sections = {"train": only, "search": only, "start_from": {"items": named}}
    sections["health"] = {"propertyNames": {"enum": list(type(TASKS[task].health).model_fields)}}
    return {"if": {"properties": {"task": {"const": task}}, "required": ["task"]}, "then": {"properties": sections}}


def _option(option: Option, definitions: Schema) -> Schema:
    whole = option.owner.model_json_schema(by_alias=True, ref_template="#/definitions/{model}")
    for name, inner in whole.pop("$defs", {}).items():
        definitions.setdefault(name, inner)
    for model in option.models:
        _add_docs(model, definitions[model.__name__], definitions)
    schema = dict(whole["properties"][option.path.rpartition(".")[2]])
    schema.pop("title", None)
    doc = field_doc(option.owner, option.name)
    return {**schema, **({"description": doc} if doc else {})}


def _searched(paths: Mapping[str, Schema], definitions: Schema) -> Schema:
    """Option path -> how it may be searched, with the option's own description."""
    for kind in DISTRIBUTIONS.values():
        definitions[kind.__name__] = _model(kind, definitions)
    definitions["distribution"] = {
        "anyOf": [{"$ref": f"#/definitions/{kind.__name__}"} for kind in DISTRIBUTIONS.values()]
    }
    described = ((path, schema.get("description")) for path, schema in paths.items())
    reference = {"$ref": "#/definitions/distribution"}
    return {path: {"description": text, "allOf": [reference]} if text else dict(reference) for path, text in described}


def _searched_inside() -> Schema:
    """The same for paths into mappings with free keys."""
    reference = {"$ref": "#/definitions/distribution"}
    return {_inside(path): dict(reference) for task in TASKS.values() for path in option_paths(task.options).open}


def _inside(path: str) -> str:
    """The pattern of what leads into a mapping."""
    return f"^{re.escape(path)}\\..+$"


def _one_or_several(definitions: Schema) -> Schema:
    definitions["objective"] = _model(ObjectiveSection, definitions)
    one = {"$ref": "#/definitions/objective"}
    return {"anyOf": [one, {"type": "array", "items": one, "minItems": 1}]}


def _data(definitions: Schema) -> Schema:
    kinds = []
    for task in TASKS.values():
        if task.data is not None:
            schema = TypeAdapter(task.data).json_schema(by_alias=True, ref_template="#/definitions/{model}")
            for name, inner in schema.pop("$defs", {}).items():
                definitions.setdefault(name, inner)
            kinds.append(schema)
    return kinds[0] if len(kinds) == 1 else {"anyOf": list(_distinct(kinds))}


def _health(definitions: Schema) -> Schema:
    """Rule -> its settings, or a word that switches it on or off."""
    rules: Schema = {}
    for task in TASKS.values():
        kind = type(task.health)
        for name, schema in _model(kind, definitions)["properties"].items():
            options = [part for part in schema.get("anyOf", []) if part.get("type") != "null"]
            words = {"enum": ["on", "off", None]}
            rules[name] = {
                "anyOf": [*options, words],
                **{key: schema[key] for key in ("description",) if key in schema},
            }
    return rules


def _by_name_or_with_settings(table: Mapping[str, type[Section]], definitions: Schema) -> Schema:
    settings = {name: _model(section, definitions) for name, section in table.items()}
    for name, section in table.items():
        settings[name]["description"] = (section.__doc__ or "").strip()
    one = {
        "type": "object",
        "properties": settings,
        "additionalProperties": False,
        "maxProperties": 1,
        "minProperties": 1,
    }
    return {"anyOf": [{"enum": list(table)}, one]}


def _metrics() -> list[str]:
    return [f"val/{group}/{metric}" for group, metrics in METRICS.items() for metric in metrics]


def _described(old: Schema, new: Schema) -> Schema:
    return {**({"description": old["description"]} if "description" in old else {}), **new}


def _distinct(schemas: list[Schema]) -> Iterator[Schema]:
    return (schema for i, schema in enumerate(schemas) if schema not in schemas[:i])


def _draft_07(schema: Any) -> Any:
    """The schema in draft-07's words: no `prefixItems`, no `discriminator`, no titles that repeat the key."""
    if isinstance(schema, list):
        return [_draft_07(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {key: _draft_07(value) for key, value in schema.items() if key != "discriminator"}
    if "prefixItems" in plain and isinstance(plain["prefixItems"], list):
        plain["items"] = plain.pop("prefixItems")
    if isinstance(plain.get("title"), str) and "$schema" not in plain:
        del plain["title"]
    if "$ref" in plain and len(plain) > 1:  # draft-07 ignores what stands beside a reference
        plain["allOf"] = [{"$ref": plain.pop("$ref")}]
    return plain
