"""What a pretrained backbone says of the views of images, computed once and kept on disk."""

# N images, V views, F features, P pixels a side.

from __future__ import annotations

import hashlib
import logging
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from core.data.cache import Cache, cache_folder
from core.data.images.options import ViewOptions
from core.data.images.views import PARAMETERS, draw_views, plain, show
from core.models.image import build_backbone

log = logging.getLogger(__name__)

AT_ONCE: Final = 32


def views_of(count: int, views: int, options: ViewOptions, *, seed: int) -> NDArray[np.float32]:
    """(N, V, PARAMETERS) the image itself, then `views` - 1 views drawn by the options."""
    random = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(7,)))
    drawn = draw_views(random, count * (views - 1), options).reshape(count, views - 1, PARAMETERS)
    return np.concatenate([plain(count)[:, None], drawn], 1)


def frozen_features(
    pixels_N3PP: NDArray[np.uint8], views_NV: NDArray[np.float32], backbone: str
) -> NDArray[np.float32]:
    """(N, V, F) features of every view by the pretrained backbone; raises ValueError for an unknown one.

    They are kept under the content of images and views: the same ones are not computed twice.
    """
    network = build_backbone(backbone).eval()
    shape = (*views_NV.shape[:2], network.features)
    weights = hashlib.sha256()
    for tensor in network.state_dict().values():
        weights.update(tensor.contiguous().numpy().tobytes())
    cache = Cache(cache_folder() / "image-features", f"{backbone} {weights.hexdigest()} torch {torch.__version__}")
    key = cache.key(np.ascontiguousarray(pixels_N3PP).tobytes() + np.ascontiguousarray(views_NV).tobytes())
    known = cache.get(key, shape, np.float32)
    if known is not None:
        return known
    found = np.empty(shape, np.float32)
    with torch.inference_mode():
        for first in range(0, len(pixels_N3PP), AT_ONCE):
            if first % (8 * AT_ONCE) == 0:
                log.info("features of %d of %d images in %d views", first, len(pixels_N3PP), views_NV.shape[1])
            some = slice(first, first + AT_ONCE)
            pixels = torch.tensor(pixels_N3PP[some])
            for view in range(views_NV.shape[1]):
                seen = show(pixels, torch.tensor(views_NV[some, view]))
                found[some, view] = network(seen).numpy()
    try:
        cache.put(key, found)
    except OSError as fault:
        log.warning("%s cannot be written to (%s): features will be computed again", cache.folder, fault.strerror)
    return found
