"""Feed every reader of results and annotations with broken files: no crash, no hang, no acceptance of the impossible.

A finding is an exception other than EvalError and UserError, a message of several lines, more than 2 s or 1 GiB for a
few kB, a process that dies, or a file that is accepted though no valid file is like it. Inputs are numbered and made
from (seed, number) alone; batches run in child processes, each with a limit of memory. The files of a finding are kept.

    python tools/fuzz_readers.py --inputs 100000 --seed 1
    python tools/fuzz_readers.py --reader coco --seed 1 --only 4711
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import resource
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fuzz_checks import Impossible
from fuzz_mutations import Files, Mutation, mutate, prepare
from fuzz_targets import TARGETS, Target, plain

from eval.errors import EvalError
from vos_occ.structures.errors import UserError

MOST_SECONDS = 2.0
MOST_MEMORY = 1 << 30  # bytes, above what the process has
HANGS_AFTER = 30.0  # seconds without an answer of a child
LONGEST_MESSAGE = 2000
BATCH = 500


@dataclass(frozen=True)
class Finding:
    """What was wrong, and with which input."""

    reader: str
    seed: int
    number: int
    problem: str
    steps: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.reader}, seed {self.seed}, input {self.number}: {self.problem} [{'; '.join(self.steps)}]"


def mutation(reader: str, seed: int, number: int) -> Mutation:
    """An input, from its name alone."""
    return mutate(dict(TARGETS[reader].files), random.Random(f"{reader} {seed} {number}"))


def write(files: Files, folder: Path) -> None:
    """Put files into an empty folder; names that no file system has are left out."""
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def judge(target: Target, made: Mutation, folder: Path, valid: Any) -> tuple[str, str | None]:
    """Read one input.

    Args:
        target: The reader.
        made: The input.
        folder: An empty one, to write it to.
        valid: What the unmutated files give.

    Returns:
        "accepted" or "refused", and what is wrong with that, None where nothing is.
    """
    write(made.files, folder)
    start = time.process_time()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = target.read(folder)
    except (EvalError, UserError) as error:
        return "refused", _slow(start) or _message(str(error)) or (made.neutral and f"refused: {error}" or None)
    except Exception as error:
        at = traceback.extract_tb(error.__traceback__)[-1]
        ours = [
            frame
            for frame in traceback.extract_tb(error.__traceback__)
            if "/eval/" in frame.filename or "/vos_occ/" in frame.filename
        ]
        at = ours[-1] if ours else at
        return "crashed", f"{type(error).__name__} at {Path(at.filename).name}:{at.lineno}: {str(error)[:100]!r}"
    slow = _slow(start)
    if slow:
        return "accepted", slow
    try:
        target.check(made.files, found)
        if made.neutral and plain(found) != valid:
            return "accepted", "a change of form changed what was read"
    except Impossible as error:
        return "accepted", f"accepted the impossible: {error}"
    except Exception as error:
        at = traceback.extract_tb(error.__traceback__)[-1]
        return (
            "accepted",
            f"the check failed: {type(error).__name__} at {Path(at.filename).name}:{at.lineno}: {str(error)[:80]!r}",
        )
    return "accepted", None


def _slow(start: float) -> str | None:
    seconds = time.process_time() - start
    return f"took {seconds:.1f} s" if seconds > MOST_SECONDS else None


def _message(text: str) -> str | None:
    if not text.isprintable():
        return f"a message of several lines or with control characters: {text[:200]!r}"
    return f"a message of {len(text)} characters: {text[:100]!r}" if len(text) > LONGEST_MESSAGE else None


def valid_reading(reader: str) -> Any:
    """What the unmutated files give; they must be accepted."""
    with tempfile.TemporaryDirectory(dir=_memory_folder()) as folder:
        target = TARGETS[reader]
        write(target.files, Path(folder))
        found = target.read(Path(folder))
        target.check(dict(target.files), found)
        return plain(found)


def _memory_folder() -> str | None:
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def examine(reader: str, seed: int, numbers: range, root: Path) -> Iterator[tuple[int, str, str | None]]:
    """Judge inputs one after the other; yields the number before and the outcome after each."""
    valid = valid_reading(reader)
    os.environ["TMPDIR"] = tempfile.tempdir = str(root)
    for number in numbers:
        yield number, "", None
        folder = root / "input"
        folder.mkdir()
        yield number, *judge(TARGETS[reader], mutation(reader, seed, number), folder, valid)
        shutil.rmtree(folder, ignore_errors=True)


def _child(reader: str, seed: int, numbers: range, root: Path, pipe: Any) -> None:
    """Runs a batch with limited memory, and tells of every input before and after it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # decoders that complain by themselves
    with open("/proc/self/statm") as statm:
        used = int(statm.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MOST_MEMORY, used + MOST_MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for told in examine(reader, seed, numbers, root):
        pipe.send(told)
    pipe.close()


def run_batch(reader: str, seed: int, numbers: range) -> Iterator[tuple[int, str, str | None]]:
    """Judge inputs in child processes; one that kills its child is a finding, and the next begins after it."""
    prepare()
    context = multiprocessing.get_context("fork")
    start = numbers.start
    while start < numbers.stop:
        receiver, sender = context.Pipe(duplex=False)
        root = Path(tempfile.mkdtemp(dir=_memory_folder(), prefix="fuzz-"))
        rest = range(start, numbers.stop)
        child = context.Process(target=_child, args=(reader, seed, rest, root, sender), daemon=True)
        child.start()
        sender.close()
        current = None
        try:
            while receiver.poll(HANGS_AFTER):
                number, outcome, problem = receiver.recv()
                current = number
                if outcome:
                    yield number, outcome, problem
                    current, start = None, number + 1
            problem = f"no answer after {HANGS_AFTER:.0f} s"
        except EOFError:
            child.join()
            problem = f"the process died with exit code {child.exitcode}"
        finally:
            child.kill()
            child.join()
            receiver.close()
            shutil.rmtree(root, ignore_errors=True)
        if current is not None:
            yield current, "crashed", problem
            start = current + 1
        elif start < numbers.stop:
            yield start, "crashed", f"between inputs: {problem}"
            start += 1


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=10_000, help="in all, shared out evenly (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of all inputs (default: %(default)s)")
    parser.add_argument("--reader", action="append", choices=sorted(TARGETS), help="only this one; may be repeated")
    parser.add_argument("--only", type=int, metavar="NUMBER", help="one input, in this process and with its traceback")
    parser.add_argument("--kept", type=Path, default=Path("fuzz_findings"), help="folder for the files of findings")
    parser.add_argument("--state", type=Path, help="file to keep counts in, and to go on from after a stop")
    parser.add_argument("--distinct", action="store_true", help="print each kind of finding of a reader once")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    readers = args.reader or list(TARGETS)
    if args.only is not None:
        return show_one(readers[0], args.seed, args.only)
    state = _State.load(args.state, args.seed)
    each = -(-args.inputs // len(readers))
    for start in range(0, each, BATCH):
        for reader in readers:
            numbers = range(max(start, state.done.get(reader, 0)), min(start + BATCH, each))
            if numbers:
                _run_numbers(reader, args, numbers, state)
    total = sum(state.done.values())
    print(f"{total} inputs, {state.seconds:.0f} s, {sum(state.findings.values())} findings")
    for reader in readers:
        outcomes = ", ".join(f"{count} {name}" for name, count in sorted(state.outcomes.get(reader, {}).items()))
        print(f"  {reader}: {outcomes}; {state.findings.get(reader, 0)} findings")
    return 1 if state.findings else 0


@dataclass
class _State:
    """Counts so far, by reader."""

    path: Path | None
    seed: int
    done: dict[str, int]
    outcomes: dict[str, dict[str, int]]
    findings: dict[str, int]
    seconds: float
    told: set[str]

    @classmethod
    def load(cls, path: Path | None, seed: int) -> _State:
        if path is not None and path.exists():
            known = json.loads(path.read_text())
            if known["seed"] == seed:
                return cls(path, seed, known["done"], known["outcomes"], known["findings"], known["seconds"], set())
        return cls(path, seed, {}, {}, {}, 0.0, set())

    def save(self) -> None:
        if self.path is not None:
            content = {key: value for key, value in asdict(self).items() if key not in ("path", "told")}
            self.path.write_text(json.dumps(content))


def _run_numbers(reader: str, args: argparse.Namespace, numbers: range, state: _State) -> None:
    start = time.monotonic()
    counts = Counter(state.outcomes.get(reader, {}))
    for number, outcome, problem in run_batch(reader, args.seed, numbers):
        counts[outcome] += 1
        if problem:
            _tell(
                Finding(reader, args.seed, number, problem, tuple(mutation(reader, args.seed, number).steps)),
                args,
                state,
            )
    state.outcomes[reader], state.done[reader] = dict(counts), numbers.stop
    state.seconds += time.monotonic() - start
    state.save()
    print(f"{time.strftime('%H:%M:%S')} {reader}: {numbers.stop} done", file=sys.stderr)


def _tell(finding: Finding, args: argparse.Namespace, state: _State) -> None:
    state.findings[finding.reader] = state.findings.get(finding.reader, 0) + 1
    kind = f"{finding.reader} {''.join(c for c in finding.problem if not c.isdigit())[:60]}"
    if not (args.distinct and kind in state.told):
        folder = args.kept / f"{finding.reader.replace(' ', '_')}-{finding.seed}-{finding.number}"
        shutil.rmtree(folder, ignore_errors=True)
        write(mutation(finding.reader, finding.seed, finding.number).files, folder)
        print(f"{finding} kept in {folder}", flush=True)
    state.told.add(kind)


def show_one(reader: str, seed: int, number: int) -> int:
    """Judge one input here; exceptions are let through."""
    made = mutation(reader, seed, number)
    print(f"{reader}, seed {seed}, input {number}: {'; '.join(made.steps)}")
    with tempfile.TemporaryDirectory() as folder:
        outcome, problem = judge(TARGETS[reader], made, Path(folder), valid_reading(reader))
        print(outcome, problem or "as it should be")
        if outcome in ("crashed", "refused"):
            try:
                TARGETS[reader].read(Path(folder))
            except (EvalError, UserError) as error:
                print(f"{type(error).__name__}: {error}")
    return 1 if problem else 0


if __name__ == "__main__":
    sys.exit(main())
