"""What has to happen before lerobot can be imported with a torch that has no CUDA."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import torch

NMS = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


def prepare() -> None:
    """Call before the first import of torchvision or lerobot.

    torchvision from PyPI is linked against CUDA; without it, its operators do not load and its import fails on the first
    operator that it wants to describe. lerobot's datasets use none of them, so their declarations are enough.
    """
    os.environ["HF_HUB_OFFLINE"] = "1"
    found = importlib.util.find_spec("torchvision")
    assert found is not None and found.origin is not None, "torchvision is not installed here; run make test-conformance"
    try:
        torch.ops.load_library(str(Path(found.origin).parent / "_C.so"))
    except OSError:
        global _declared  # operators are forgotten together with their library object
        _declared = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            _declared.define(name + NMS)


_declared: torch.library.Library | None = None
