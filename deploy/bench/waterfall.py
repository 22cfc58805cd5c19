"""The stages of a turn as a picture: what the models take, and what is between."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

__all__ = ["draw_waterfall"]


def draw_waterfall(spans: Mapping[str, tuple[float, float]], models: Collection[str], path: Path) -> bool:
    """Draw each span under the one before it; False where matplotlib is not installed.

    Args:
        spans: Begin and end of each stage, in milliseconds.
        models: Those that are a model's.
        path: Where the picture goes.
    """
    try:
        import matplotlib as mpl  # noqa: PLC0415 - the plot is the only thing that needs it
    except ImportError:
        return False
    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415 - after the backend is chosen

    ordered = sorted(spans.items(), key=lambda span: (span[1][0], span[1][1]))
    figure, axes = plt.subplots(figsize=(9, 0.5 * len(ordered) + 1.6))
    before = 0.0
    for row, (name, (begins, ends)) in enumerate(ordered):
        model = name in models
        # What is between two models is the fleet's own.
        between = begins - before if model else ends - begins
        axes.barh(row, between, left=before if model else begins, height=0.6, color="#b3402e")
        if model:
            axes.barh(row, ends - begins, left=begins, height=0.6, color="#9db4c0")
            before = ends
        axes.text(ends + 3, row, f"{begins:.1f} to {ends:.1f}, own {between:.1f}", va="center", fontsize=8)
    axes.set_yticks(range(len(ordered)), [name for name, _ in ordered])
    axes.invert_yaxis()
    axes.set_xlim(0, max(ends for _, ends in spans.values()) * 1.3)
    axes.set_xlabel("ms after the end of the utterance, medians; grey: models, red: the fleet")
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, dpi=140)
    plt.close(figure)
    return True
