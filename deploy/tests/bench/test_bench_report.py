"""The report says what passed, what failed and by how much."""

from pathlib import Path

import pytest

from deploy.bench.measure import Spread
from deploy.bench.report import draw, markdown, summary
from deploy.bench.result import Bar, Result, Row


@pytest.fixture
def result() -> Result:
    return Result(
        "rag",
        "RAG request",
        rows=[Row("ours", {"CPU": "512"}), Row("go", {"CPU": "700", "extra": "1"})],
        bars=[
            Bar("ratio to Go", Spread(0.7312, 0.7, 0.8), 1.0),
            Bar("rate", Spread(20_000.0, 19_000.0, 21_000.0), 25_000, "higher", "msg/s"),
        ],
        notes=["Read with care."],
        failures={"ours: wrong text": 2},
    )


def test_markdown_has_a_line_for_every_bar_and_row(result: Result) -> None:
    text = markdown([result], quick=False)
    assert "| ratio to Go | 0.73 (0.70 to 0.80) x | ≤ 1 x | pass |" in text
    assert "| rate | 20,000 (19,000 to 21,000) msg/s | ≥ 25,000 msg/s | **FAIL** |" in text
    assert "| rag: every answer right | 2 wrong | 0 | **FAIL** |" in text
    assert "| ours | 512 |  |" in text
    assert "| go | 700 | 1 |" in text
    assert "Read with care." in text


def test_a_quick_run_says_that_it_is_one(result: Result) -> None:
    assert "quick run" in markdown([result], quick=True)
    assert "quick run" not in markdown([result], quick=False)


def test_summary_tells_the_verdicts(result: Result) -> None:
    text = summary(result)
    assert "pass  ratio to Go" in text
    assert "FAIL  rate" in text
    assert "FAIL  2 x ours: wrong text" in text


def test_plot_is_drawn(result: Result, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / "bench.png"
    assert draw([result], path)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_without_bars_there_is_no_plot(tmp_path: Path) -> None:
    assert not draw([Result("start", "Start")], tmp_path / "bench.png")


def test_a_missing_peer_is_told_and_not_passed_over() -> None:
    result = Result("rag", "RAG request", unmeasured="Install Go.")
    assert "| rag | Install Go. | | not measured |" in markdown([result], quick=False)
    assert "not measured. Install Go." in summary(result)
