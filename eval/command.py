"""`python -m eval PROTOCOL --gt PATH --pred PATH`: a table on the terminal, everything else in scores.json."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from eval.errors import EvalError, RequestError
from eval.evaluation import check, run
from eval.protocols import PROTOCOL_NAMES, protocol
from eval.protocols.protocol import Protocol, Request
from eval.scores import Scores
from eval.table import score_tables


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code, 2 for input that cannot be scored."""
    asked = _parser().parse_args(arguments)
    messages = Console(stderr=True, quiet=asked.quiet, highlight=False, soft_wrap=True)
    try:
        _evaluate(asked, messages)
    except EvalError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("error: interrupted; nothing was written", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:  # a file that may not be read, or that went away
        print(f"error: {error}. Check the file.", file=sys.stderr)
        return 2
    return 0


class _Parser(argparse.ArgumentParser):
    """Names the options of the protocols, which are looked up only for one who asks; complains in one line."""

    def format_help(self) -> str:
        protocols: dict[tuple[str, str], list[str]] = defaultdict(list)
        for name in PROTOCOL_NAMES:
            for option in protocol(name).options.items():
                protocols[option].append(name)
        options = [f"  {option} ({', '.join(names)}): {line}\n" for (option, line), names in protocols.items()]
        return f"{super().format_help()}\noptions of the protocols, for --option:\n{''.join(options)}"

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message}. See --help.\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="vos-occ-eval",
        description="Score results by the rules of a benchmark, from its files. docs/evaluation.md says what each "
        "protocol counts.",
        epilog=f"protocols: {', '.join(PROTOCOL_NAMES)}",
    )
    parser.add_argument("protocol", metavar="PROTOCOL", help="the benchmark's rules; see below")
    parser.add_argument("--gt", required=True, type=Path, help="ground truth: file, folder or zip")
    parser.add_argument("--pred", required=True, type=Path, help="results: file, folder or zip, as one submits them")
    parser.add_argument("--seqmap", type=Path, help="the sequences that count (kitti_mots, mots_challenge, mots_tools)")
    parser.add_argument("--out", type=Path, metavar="scores.json", help="write every number here; replaces the file")
    parser.add_argument("--workers", type=int, default=1, help="processes, which share videos or images (default: 1)")
    parser.add_argument(
        "--compat", choices=["official"], help="do with wrong input what the official evaluator does, not refuse it"
    )
    parser.add_argument("--allow-missing", action="store_true", help="a video without results has no predictions")
    parser.add_argument(
        "--by-occlusion",
        nargs="?",
        const=True,
        default=False,
        metavar="LEVELS",
        help="count by occlusion level too; LEVELS: where they are, if not in the ground truth (KITTI's label_02)",
    )
    parser.add_argument(
        "--option", action="append", default=[], metavar="NAME=VALUE", help="one of the protocol's own options"
    )
    parser.add_argument(
        "--verify", action="store_true", help="also run the official library, and print the largest difference"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress and no warnings")
    return parser


def _evaluate(asked: argparse.Namespace, messages: Console) -> None:
    rules = protocol(asked.protocol)
    request = Request(
        gt=asked.gt,
        pred=asked.pred,
        seqmap=asked.seqmap,
        official=asked.compat == "official",
        allow_missing=asked.allow_missing,
        by_occlusion=Path(asked.by_occlusion) if isinstance(asked.by_occlusion, str) else asked.by_occlusion,
        options=dict(map(_named_value, asked.option)),
    )
    if asked.workers < 1:
        raise RequestError(f"--workers must be at least 1, found {asked.workers}.")
    if asked.verify and rules.verify is None:
        raise RequestError(f"There is no installable library that computes {rules.name}. Leave --verify out.")
    check(rules, request)
    _check_place(asked.out)
    scores = _run(rules, request, asked.workers, messages)
    if asked.out is not None:
        _write(scores, asked.out)
    _print(scores, rules)
    for warning in scores.warnings:
        messages.print(f"warning: {warning}", markup=False)
    if asked.verify and rules.verify is not None:
        print(f"largest difference to {rules.version}: {rules.verify(request, scores):.3g}")


def _named_value(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise RequestError(f"--option expects NAME=VALUE, found '{text}'.")
    return name, value


def _run(rules: Protocol, request: Request, workers: int, messages: Console) -> Scores:
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=messages,
        transient=True,
        auto_refresh=False,  # by a thread, beside which no worker could be forked
        disable=messages.quiet or not messages.is_terminal,
    )
    with bar:
        task = bar.add_task(rules.name, total=None)

        def show(done: int, total: int, name: str) -> None:
            bar.update(task, completed=done, total=total, description=f"{rules.name} {name}", refresh=True)

        return run(rules, request, workers, show)


def _check_place(out: Path | None) -> None:
    """Refuse a place that cannot be written before anything is computed."""
    if out is None:
        return
    if out.is_dir():
        raise RequestError(f"--out '{out}' is a folder, expected the name of a file. Add /scores.json.")
    if not out.absolute().parent.is_dir():
        raise RequestError(f"There is no folder '{out.absolute().parent}' for --out. Make it first.")


def _write(scores: Scores, out: Path) -> None:
    """Written whole and renamed, so that a reader never sees half a file."""
    try:
        with tempfile.NamedTemporaryFile("w", dir=out.absolute().parent, delete=False, suffix=".part") as file:
            json.dump(scores.as_json(), file, indent=1, allow_nan=False)
        os.chmod(file.name, 0o666 & ~_umask())
        os.replace(file.name, out)
    except OSError as error:
        raise RequestError(f"--out '{out}' cannot be written: {error.strerror}.") from None


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def _print(scores: Scores, rules: Protocol) -> None:
    console: Any = Console(highlight=False)
    if not console.is_terminal:
        console.width = max(console.width, 160)  # a file has no edge to wrap at
    for drawn in score_tables(scores, rules.columns):
        console.print(drawn)


if __name__ == "__main__":
    sys.exit(main())
