"""The tables of tools/benchmark_eval.py."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from benchmark_data import Size
from rich.console import Console
from rich.table import Table

Rows = Sequence[dict[str, Any]]


def show(rows: Mapping[str, Rows], repeat: int, growth: Size) -> None:
    """Print the tables of what was measured."""
    console = Console()
    if not console.is_terminal:
        console.width = max(console.width, 120)  # a file has no edge to wrap at
    if rows["compare"]:
        console.print(comparison_table(rows["compare"], repeat))
    if rows["growth"]:
        console.print(growth_table(rows["growth"], growth))
    if rows["workers"]:
        console.print(workers_table(rows["workers"]))
    if rows["stages"]:
        console.print(stages_table(rows["stages"]))
    for row in rows["compare"]:
        if row.get("not_in_ours"):
            console.print(f"{row['protocol']}: not among our numbers: {', '.join(row['not_in_ours'])}", soft_wrap=True)


def comparison_table(rows: Rows, repeat: int) -> Table:
    """Seconds side by side. The ratio of CPU seconds counts where other work takes its share of the core."""
    table = Table(title=f"one core, files to numbers, {repeat} runs each: least seconds (median)")
    for column in ("protocol", "true", "predicted", "official", "ours", "ratio", "of CPU", "largest difference"):
        table.add_column(column, justify="left" if column == "protocol" else "right", no_wrap=column == "protocol")
    for row in rows:
        masks = row["masks"]
        agreement = f"{row['largest_difference']:.1e} of {row['numbers_compared']}" if "ratio" in row else "-"
        table.add_row(
            row["protocol"],
            f"{masks['true']:.0f}",
            f"{masks['predicted']:.0f}",
            _least_and_median(row.get("official_seconds")),
            _least_and_median(row["ours_seconds"]),
            f"{row['ratio']:.1f}x" if "ratio" in row else "-",
            f"{row['cpu_ratio']:.1f}x" if "ratio" in row else "-",
            agreement,
        )
    table.caption = "\n".join(f"{row['protocol']}: {row['official']}" for row in rows)
    return table


def growth_table(rows: Rows, size: Size) -> Table:
    """Seconds and memory over size."""
    title = f"growth, one core; else {size.videos} video(s) ({size.vis_videos} of ytvis), {size.frames} frames, "
    table = Table(title=f"{title}{size.objects} objects ({size.predictions} predictions of ytvis); MiB above imports")
    columns = ("protocol", "with", "official s", "ours s", "ratio", "official MiB", "ours MiB")
    for column in columns:
        table.add_column(column, justify="left" if column in columns[:2] else "right", no_wrap=True)
    for row in rows:
        official = row.get("official_seconds")
        table.add_row(
            row["protocol"],
            f"{row['value']} {row['what']}",
            "-" if official is None else f"{official:.3f}",
            f"{row['ours_seconds']:.3f}",
            "-" if official is None else f"{official / row['ours_seconds']:.1f}x",
            "-" if official is None else f"{row['official_mib']:.0f}",
            f"{row['ours_mib']:.0f}",
        )
    return table


def workers_table(rows: Rows) -> Table:
    """Seconds over workers."""
    table = Table(title="workers, one core each, full data; CPU of all processes; peak of one worker with its imports")
    for column in ("protocol", "workers", "official s", "ours s", "speed-up", "CPU s of ours", "peak MiB of ours"):
        table.add_column(column, justify="left" if column == "protocol" else "right")
    alone = {row["protocol"]: row["ours_seconds"] for row in rows if row["workers"] == 1}
    for row in rows:
        official, peak = row["official_seconds"], row["ours_worker_mib"]
        table.add_row(
            row["protocol"],
            str(row["workers"]),
            "-" if official is None else f"{official:.3f}",
            f"{row['ours_seconds']:.3f}",
            f"{alone[row['protocol']] / row['ours_seconds']:.2f}x",
            f"{row['ours_cpu_seconds']:.3f}",
            "-" if peak is None else f"{peak:.0f}",
        )
    return table


def stages_table(rows: Rows) -> Table:
    """Where our time goes."""
    table = Table(title="where our time goes: seconds of the fastest run, split by the shares of a clocked one")
    for column in ("protocol", "stage", "share", "seconds"):
        table.add_column(column, justify="left" if column in ("protocol", "stage") else "right")
    for row in rows:
        for stage, share in row["shares"].items():
            table.add_row(row["protocol"], stage, f"{share:.0%}", f"{share * row['seconds']:.3f}")
        table.add_section()
    return table


def _least_and_median(seconds: list[float] | None) -> str:
    return "-" if seconds is None else f"{min(seconds):.3f} ({statistics.median(seconds):.3f})"
