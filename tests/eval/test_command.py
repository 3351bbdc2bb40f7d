"""The command around the protocols: what it prints, what it writes, what it refuses."""

from __future__ import annotations

import io
import json
import os
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table

import eval.command
import eval.evaluation
from eval import evaluate
from eval.command import main
from eval.errors import RequestError, SchemaError
from eval.protocols import PROTOCOL_NAMES, protocol
from eval.protocols.protocol import Column, Protocol, Request
from eval.scores import Scores
from eval.table import score_tables


@dataclass(frozen=True)
class CountLines:
    """A job whose units are text files, scored by their lines; "broken" is refused, "killed" ends the process."""

    paths: Sequence[Path]
    seen: Request

    @property
    def units(self) -> list[str]:
        return [path.stem for path in self.paths]

    def score(self, index: int) -> tuple[int, int]:
        text = self.paths[index].read_text()
        if "killed" in text:
            os._exit(9)
        if "broken" in text:
            raise SchemaError(f"{self.paths[index].name}, line 1: expected words, found 'broken'. Mend it.")
        return len(text.splitlines()), os.getpid()

    def combine(self, partials: Sequence[tuple[int, int]]) -> Scores:
        videos = {name: {"line": {"TP": count}} for name, (count, _) in zip(self.units, partials, strict=True)}
        return Scores(
            protocol="lines",
            version="wc 8.32",
            summary={"processes": len({process for _, process in partials}), "MOTSA": float("nan")},
            classes={"line": {"MOTSA": 0.12345, "TP": sum(count for count, _ in partials)}, "page": {"MOTSA": None}},
            overall={"MOTSA": float("-inf")},
            videos=videos,
            warnings=("the last line has no end",),
        )


LINES = Protocol(
    name="lines",
    version="wc 8.32",
    open=lambda request: CountLines(sorted(request.gt.glob("*.txt")), request),
    columns=(Column("MOTSA"), Column("TP")),
    options={"area": "what an area is"},
)


@pytest.fixture(autouse=True)
def lines(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (eval.command, eval.evaluation):
        name = "protocol" if module is eval.command else "find_protocol"
        monkeypatch.setattr(module, name, lambda asked: LINES if asked == "lines" else protocol(asked))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in (("a", "1\n2\n"), ("b", "1\n"), ("c", "")):
        (tmp_path / f"{name}.txt").write_text(text)
    return tmp_path


def test_scores_go_to_the_terminal_and_unrounded_to_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = folder / "scores.json"
    out.write_text("of an earlier run")
    assert main(["lines", "--gt", str(folder), "--pred", str(folder), "--out", str(out)]) == 0
    printed = capsys.readouterr()
    assert "lines (equals wc 8.32)" in printed.out
    assert "│ line    │  12.3 │  3 │" in printed.out
    assert "not shown: 1 class that neither side has\n" in printed.out and "page" not in printed.out
    assert printed.err == "warning: the last line has no end\n"
    written = json.loads(out.read_text())
    assert list(written) == ["protocol", "version", "summary", "classes", "overall", "videos"]
    assert written["classes"]["line"] == {"MOTSA": 0.12345, "TP": 3}
    assert written["summary"]["MOTSA"] is written["overall"]["MOTSA"] is written["classes"]["page"]["MOTSA"] is None
    assert written["videos"] == {"a": {"line": {"TP": 2}}, "b": {"line": {"TP": 1}}, "c": {"line": {"TP": 0}}}
    assert sorted(path.name for path in folder.iterdir()) == ["a.txt", "b.txt", "c.txt", "scores.json"]


def test_python_and_the_command_give_the_same(folder: Path) -> None:
    out = folder / "scores.json"
    main(["lines", "--gt", str(folder), "--pred", str(folder), "--out", str(out), "--quiet"])
    assert evaluate("lines", folder, folder).as_json() == json.loads(out.read_text())


def test_workers_share_the_units_and_keep_their_order(folder: Path) -> None:
    done: list[tuple[int, int, str]] = []
    scores = evaluate("lines", folder, folder, workers=2, progress=lambda *step: done.append(step))
    assert done == [(1, 3, "a"), (2, 3, "b"), (3, 3, "c")]
    assert list(scores.videos) == ["a", "b", "c"]
    assert 1 <= scores.summary["processes"] <= 2


@pytest.mark.parametrize("workers", [1, 2])
def test_a_broken_file_is_one_line_and_nothing_is_written(
    folder: Path, capsys: pytest.CaptureFixture[str], workers: int
) -> None:
    (folder / "b.txt").write_text("broken")
    out = folder / "scores.json"
    command = ["lines", "--gt", str(folder), "--pred", str(folder), "--out", str(out), "--workers", str(workers)]
    assert main(command) == 2
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "error: b.txt, line 1: expected words, found 'broken'. Mend it.\n")
    assert not out.exists()


def test_a_killed_worker_and_a_file_that_cannot_be_read_are_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "b.txt").write_text("killed")
    assert main(["lines", "--gt", str(folder), "--pred", str(folder), "--workers", "2"]) == 2
    assert capsys.readouterr().err == (
        "error: A worker was killed, mostly for want of memory. Score with fewer than 2 workers.\n"
    )
    (folder / "b.txt").unlink()
    (folder / "b.txt").symlink_to(folder / "gone")
    assert main(["lines", "--gt", str(folder), "--pred", str(folder)]) == 2
    assert capsys.readouterr().err.endswith(f"No such file or directory: '{folder / 'b.txt'}'. Check the file.\n")


def test_progress_on_a_terminal_leaves_no_thread_beside_which_nothing_can_be_forked(folder: Path) -> None:
    """Forked workers start at once and share what is parsed; `eval.evaluation` forks only where no thread runs."""
    shown, threads = io.StringIO(), []
    rules = replace(LINES, open=lambda request: threads.append(threading.active_count()) or LINES.open(request))
    before = threading.active_count()
    messages = Console(file=shown, force_terminal=True, width=80)
    eval.command._run(rules, Request(folder, folder), 1, messages)
    assert threads == [before]
    assert "lines c" in shown.getvalue()


def test_help_names_the_options_of_every_protocol(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    printed = capsys.readouterr().out
    for name in PROTOCOL_NAMES:
        for option, line in protocol(name).options.items():
            assert re.search(rf"^  {option} \(.*\b{name}\b.*\): {re.escape(line)}$", printed, re.MULTILINE), option


def test_options_are_in_the_docs() -> None:
    docs = Path(__file__).parents[2] / "docs" / "evaluation.md"
    written = set(re.findall(r"`(\w+)(?:=[^`]*)?`", docs.read_text()))
    assert {option for name in PROTOCOL_NAMES for option in protocol(name).options} <= written


def test_a_wrong_call_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["lines", "--gt", "."])
    assert capsys.readouterr().err == "error: the following arguments are required: --pred. See --help.\n"


@pytest.mark.parametrize(
    "wrong, message",
    [
        (["coko", "--gt", ".", "--pred", "."], "There is no protocol 'coko'. Choose one of: kitti_mots, "),
        (["lines", "--gt", "nowhere", "--pred", "."], "There is no gt 'nowhere'."),
        (["lines", "--gt", ".", "--pred", "nowhere"], "There is no pred 'nowhere'."),
        (["lines", "--gt", ".", "--pred", ".", "--seqmap", "."], "The protocol lines has no seqmap."),
        (["lines", "--gt", ".", "--pred", ".", "--by-occlusion"], "The protocol lines has no by_occlusion."),
        (["lines", "--gt", ".", "--pred", ".", "--compat", "official"], "The protocol lines has no compat official."),
        (["lines", "--gt", ".", "--pred", ".", "--option", "size=1"], "no option 'size'. Its options: area."),
        (["lines", "--gt", ".", "--pred", ".", "--option", "area"], "--option expects NAME=VALUE, found 'area'."),
        (["lines", "--gt", ".", "--pred", ".", "--workers", "0"], "--workers must be at least 1, found 0."),
        (["lines", "--gt", ".", "--pred", ".", "--out", "."], "--out '.' is a folder"),
        (["lines", "--gt", ".", "--pred", ".", "--out", "no/s.json"], "There is no folder"),
        (["lines", "--gt", ".", "--pred", ".", "--verify"], "no installable library that computes lines"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_exit_2(
    wrong: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(wrong) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ") and message in printed.err and printed.err.count("\n") == 1


def test_verify_prints_the_largest_difference(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = replace(LINES, verify=lambda request, scores: 2.5e-13)
    monkeypatch.setattr(eval.command, "protocol", lambda asked: rules)
    assert main(["lines", "--gt", str(folder), "--pred", str(folder), "--verify"]) == 0
    assert "largest difference to wc 8.32: 2.5e-13\n" in capsys.readouterr().out


def test_python_refuses_another_compat(folder: Path) -> None:
    with pytest.raises(RequestError, match="compat must be 'official' or left out, found 'exact'"):
        evaluate("lines", folder, folder, compat="exact")


def test_summary_and_occlusion_columns_take_the_units_of_the_metric_they_name() -> None:
    scores = Scores("p", "v", {"HOTA_car": 0.5, "IDSW": 3}, {}, by_occlusion={"0": {"recall": 0.25}, "1": {}})
    summary, levels = (
        table for table in score_tables(scores, (Column("HOTA", digits=3), Column("IDSW"))) if isinstance(table, Table)
    )
    assert [list(column.cells) for column in summary.columns] == [["summary"], ["50.000"], ["3"]]
    assert [list(column.cells) for column in levels.columns] == [["0", "1"], ["25.0", "-"]]


@pytest.mark.parametrize("name", PROTOCOL_NAMES)
def test_every_protocol_is_there_under_its_name(name: str) -> None:
    assert protocol(name).name == name
