"""Options that version 0.1 called otherwise, with their names of today."""

from __future__ import annotations

from collections.abc import Mapping

SEARCH_OPTIONS: Mapping[str, str] = {
    "pixels": "img_size",
    "learning_rate": "lr",
    "learning_rate_min": "min_lr",
    "gradient_clip": "clip_grad",
    "loader_workers": "workers",
    "workers": "concurrency",
}
