"""Examples with one class each: what a network reads, what it should say, and who or what each comes from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Labelled:
    """N examples in memory; shapes are checked on construction (ValueError)."""

    inputs: NDArray[Any]
    """(N, ...) what the network reads: images as uint8, features as float32."""
    class_index: NDArray[np.int64]
    """(N,) index into `class_names`."""
    class_names: tuple[str, ...]
    group: NDArray[np.str_]
    """(N,) whom or what an example comes from: examples of one group never lie on both sides of a division."""
    name: NDArray[np.str_]
    """(N,) file of the example, relative to the source; made-up examples have a made-up one."""
    views: NDArray[np.float32] | None = None
    """(N, V, numbers) how each of V views of an example differs from it; the first is the example itself."""
    features: NDArray[np.float32] | None = None
    """(N, V, F) what a pretrained network says of each view."""

    def __post_init__(self) -> None:
        for column in (self.class_index, self.group, self.name):
            if column.shape != (len(self.inputs),):
                raise ValueError(f"{len(self.inputs)} examples with a column of shape {column.shape}")
        for of_views in (self.views, self.features):
            if of_views is not None and len(of_views) != len(self.inputs):
                raise ValueError(f"{len(self.inputs)} examples with views of {len(of_views)}")
        if len(self.class_index) and not 0 <= self.class_index.min() <= self.class_index.max() < len(self.class_names):
            raise ValueError(f"class indices outside the {len(self.class_names)} classes")

    def __len__(self) -> int:
        return len(self.inputs)

    def take(self, which: NDArray[np.bool_] | NDArray[np.int64]) -> Self:
        """The examples at a mask or index."""
        columns: dict[str, Any] = {}
        for column in fields(self):
            value = getattr(self, column.name)
            columns[column.name] = value[which] if isinstance(value, np.ndarray) else value
        return replace(self, **columns)

    def counts(self) -> NDArray[np.int64]:
        """(K,) examples of each class."""
        return np.bincount(self.class_index, minlength=len(self.class_names)).astype(np.int64)

    def fingerprint(self) -> str:
        """SHA-256 over everything in it."""
        digest = hashlib.sha256()
        for column in fields(self):
            value = getattr(self, column.name)
            digest.update(column.name.encode())
            if isinstance(value, np.ndarray):
                digest.update(f"{value.dtype}{value.shape}".encode())
                digest.update(np.ascontiguousarray(value).tobytes())
            elif value is not None:
                digest.update("\0".join(value).encode())
        return digest.hexdigest()


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Division:
    """One division of the examples; a group never crosses."""

    train: Labelled
    val: Labelled
    test: Labelled | None = None
