"""Side by side, interleaved, in one run: what invited costs, and what others cost, on this machine.

Every round visits every case once, so that a noisy minute hurts all alike; the tables have the medians of the
rounds and their spread. Ratios are taken within a round, then their median.
"""

import argparse
import json
import re
import sys
import tempfile
from contextlib import ExitStack
from datetime import date
from pathlib import Path

from cases import Cases
from plot import draw
from report import report

from harness.prosody import REPOSITORY

DEFAULT_FILE = REPOSITORY / "docs" / "benchmarks" / f"{date.today()}.md"


def expression(text):
    try:
        return re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no regular expression: {error}") from None


def arguments():
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="visits of each case (5)")
    parser.add_argument("--seconds", type=int, default=5, help="length of one visit (5)")
    parser.add_argument("--connections", type=int, nargs="*", default=[1, 16, 64, 256], metavar="N")
    parser.add_argument(
        "--filled",
        type=int,
        nargs="*",
        default=[0, 1_000, 100_000, 1_000_000, 10_000_000],
        metavar="N",
        help="creates beside so many open invites (0 to 10 million)",
    )
    parser.add_argument(
        "--only", type=expression, default="", metavar="PATTERN", help="the cases whose name has this expression"
    )
    parser.add_argument("--list", action="store_true", help="name the cases and end")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure of every visit there")
    parser.add_argument(
        "--save",
        type=Path,
        nargs="?",
        const=DEFAULT_FILE,
        metavar="FILE",
        help="write the report there and a plot beside it (docs/benchmarks/DATE.md)",
    )
    return parser.parse_args()


def main():
    options = arguments()
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="invited-bench-"))
        cases = [case for case in Cases(stack, Path(folder), options).all() if options.only.search(case.name)]
        if options.list:
            print("\n".join(case.name for case in cases))
            return
        for round_ in range(options.rounds):
            # There and back, so that no case always comes after the same other one.
            for case in cases if round_ % 2 == 0 else reversed(cases):
                print(f"round {round_ + 1} of {options.rounds}: {case.name}: ", end="", file=sys.stderr, flush=True)
                print(shortly(case.visit(options.seconds)), file=sys.stderr, flush=True)
        text = report(cases, options)
    print(text)
    if options.json:
        options.json.write_text(json.dumps({case.name: case.visits for case in cases}, indent=1))
    if options.save:
        options.save.parent.mkdir(parents=True, exist_ok=True)
        plot = options.save.with_suffix(".svg")
        plot.write_text(draw(cases))
        options.save.write_text(f"# Benchmarks of {date.today()}\n\n![Creates a second]({plot.name})\n\n{text}")


def shortly(visit):
    return ", ".join(f"{name} {value:,.4g}" for name, value in visit.items() if isinstance(value, (int, float)))


main()
