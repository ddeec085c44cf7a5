"""The docstring under each field of a model, read from the source when somebody asks: importing stays quick."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Mapping
from functools import lru_cache

from pydantic import BaseModel


def field_doc(model: type[BaseModel], name: str) -> str:
    """What stands under the field in its class or the class it is inherited from; empty when nothing does."""
    described = model.model_fields[name].description
    if described:
        return described
    for owner in model.__mro__:
        docs = _docs_in(owner.__module__).get(owner.__qualname__, {})
        if name in docs:
            return docs[name]
    return ""


@lru_cache(maxsize=64)
def _docs_in(module: str) -> Mapping[str, Mapping[str, str]]:
    """Class -> field -> docstring, for the classes at the top of a module."""
    try:
        tree = ast.parse(inspect.getsource(sys.modules[module]))
    except (OSError, TypeError, KeyError):  # a class without a file, made in a shell
        return {}
    return {node.name: _docs_under(node) for node in tree.body if isinstance(node, ast.ClassDef)}


def _docs_under(node: ast.ClassDef) -> Mapping[str, str]:
    docs: dict[str, str] = {}
    for field, below in zip(node.body, node.body[1:], strict=False):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(below, ast.Expr)
            and isinstance(below.value, ast.Constant)
            and isinstance(below.value.value, str)
        ):
            docs[field.target.id] = " ".join(inspect.cleandoc(below.value.value).split())
    return docs
