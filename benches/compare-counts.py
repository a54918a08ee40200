#!/usr/bin/env python3
"""Compares instruction counts with the checked-in ones, `benches/counts-baseline.txt`.

Runs `cargo bench --bench counts`, or reads what an earlier run with `--output-format=json` printed, and prints the differences
as a Markdown table. The exit code is 1 when a count is worse than allowed or a benchmark is gone, 2 when there are no counts.
"""

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BASELINE = ROOT / "benches" / "counts-baseline.txt"
RUN = ["cargo", "bench", "--bench", "counts", "--", "--output-format=json"]

# Packages whose versions change counts, as they stand in Cargo.lock.
PACKAGES = ["crescendo", "cranelift-codegen", "wasmparser", "iai-callgrind"]


# Changes below so many percent are none: what is hashed with random keys differs by as much.
SAME = 0.05


class Failure(Exception):
    """There is nothing to compare."""


def summaries(output):
    """The JSON objects in what a run printed, which may stand between other lines."""
    decoder = json.JSONDecoder()
    at = output.find("{")
    while at >= 0:
        try:
            found, end = decoder.raw_decode(output, at)
        except json.JSONDecodeError:
            end = at + 1
        else:
            yield found
        at = output.find("{", end)


def instructions(summary):
    """The instructions that Callgrind has counted in a benchmark's summary."""
    for profile in summary["profiles"]:
        if profile["tool"] == "Callgrind":
            counted = profile["summaries"]["total"]["summary"]["Callgrind"]["Ir"]["metrics"]
            # Alone, or beside those of the run before.
            metric = counted["Left"] if "Left" in counted else counted["Both"][0]
            return metric["Int"]
    raise Failure(f"{summary['module_path']} has no counts of Callgrind")


def counts_of(output):
    """Instructions by benchmark, in the order of the run."""
    counts = {}
    for summary in summaries(output):
        if "module_path" in summary:
            name = "/".join(filter(None, [summary["function_name"], summary.get("id")]))
            counts[name] = instructions(summary)
    if not counts:
        raise Failure("no benchmark has printed a summary as JSON")
    return counts


def output_of(command):
    result = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if result.returncode != 0:
        raise Failure(f"`{' '.join(command)}` failed")
    return result.stdout


def versions():
    """What counts depend on besides the sources: a line for each tool and package."""
    lock = (ROOT / "Cargo.lock").read_text()
    lines = [output_of(["valgrind", "--version"]).strip(), output_of(["rustc", "--version"]).strip()]
    for package in PACKAGES:
        found = re.findall(rf'name = "{package}"\nversion = "([^"]*)"', lock)
        # Dependencies of tests may have older ones of their own.
        newest = max(found, key=lambda version: [int(part) for part in re.findall(r"\d+", version)])
        lines.append(f"{package} {newest}")
    return lines


def read_baseline():
    """The versions in the head of the baseline, and its counts."""
    if not BASELINE.exists():
        raise Failure(f"{BASELINE} does not exist: `--update` writes it")
    head, counts = [], {}
    for line in BASELINE.read_text().splitlines():
        if line.startswith("# "):
            head.append(line[2:])
        elif line:
            name, count = line.split()
            counts[name] = int(count)
    return head[1:], counts


def write_baseline(counts):
    lines = ["# Instructions by benchmark, written by `benches/compare-counts.py --update`."]
    lines += [f"# {version}" for version in versions()]
    lines += [f"{name} {count}" for name, count in counts.items()]
    BASELINE.write_text("\n".join(lines) + "\n")


def compare(before, now, percent):
    """Prints what differs. Gives the benchmarks that are worse than allowed, or gone."""
    bad, rows = [], []
    for name in [*before, *(name for name in now if name not in before)]:
        if name not in now:
            rows.append((name, before[name], "gone", ""))
            bad.append(name)
        elif name not in before:
            rows.append((name, "new", now[name], ""))
        elif abs(change := 100 * (now[name] - before[name]) / before[name]) >= SAME:
            worse = change > percent
            rows.append((name, before[name], now[name], f"**{change:+.2f} %**" if worse else f"{change:+.2f} %"))
            bad += [name] if worse else []
    if rows:
        print("| benchmark | before | now | change |\n| --- | ---: | ---: | ---: |")
    for row in rows:
        cells = (f"{cell:,}" if isinstance(cell, int) else cell for cell in row)
        print(f"| {' | '.join(cells)} |")
    print(f"{chr(10) if rows else ''}{len(now) - sum(row[2] != 'gone' for row in rows)} of {len(now)} counts are the same.")
    return bad


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", nargs="?", help="what an earlier run has printed as JSON; `-` is standard input")
    parser.add_argument("--percent", type=float, default=2.0, help="how much worse a count may be (default 2)")
    parser.add_argument("--update", action="store_true", help="write the counts into the baseline")
    arguments = parser.parse_args()
    if arguments.output is None:
        output = output_of(RUN)
    elif arguments.output == "-":
        output = sys.stdin.read()
    else:
        output = Path(arguments.output).read_text()
    now = counts_of(output)
    if arguments.update:
        write_baseline(now)
        print(f"{len(now)} counts written to {BASELINE.relative_to(ROOT)}")
        return 0
    head, before = read_baseline()
    for old, new in zip(head, versions()):
        if old != new:
            print(f"The baseline was counted with {old}, this is {new}.\n")
    bad = compare(before, now, arguments.percent)
    if bad:
        print(f"\nGone, or more than {arguments.percent:g} % worse: {', '.join(bad)}")
    return 1 if bad else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as failure:
        print(f"compare-counts: {failure}", file=sys.stderr)
        sys.exit(2)
