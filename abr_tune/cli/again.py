"""The command under way, as somebody would type it to go on with what it began."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

import typer


def typed_again(context: typer.Context, *, without: str = "", instead: Mapping[str, Any] | None = None) -> str:
    """The command with every argument and option it was given, except the option called `without`.

    `instead` has other values for some of them: a URL without its password.
    """
    params = context.params | dict(instead or {})
    given = {name: value for name, value in params.items() if _was_typed(context, name) and name != without}
    words = ["abr-tune", context.info_name or ""]
    for parameter in context.command.params:
        if parameter.name in given:
            words.extend(_words(parameter, given[parameter.name]))
    return shlex.join(words)


def _was_typed(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _words(parameter: Any, value: Any) -> Iterator[str]:
    option = () if parameter.param_type_name == "argument" else (parameter.opts[0],)
    if getattr(parameter, "is_flag", False):
        yield from option
        return
    for item in value if isinstance(value, list | tuple) else [value]:
        yield from (*option, str(item))
