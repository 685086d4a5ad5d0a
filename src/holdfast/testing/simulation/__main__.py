"""Many runs from the command line: `python -m holdfast.testing.simulation --seeds 10000`."""

from __future__ import annotations

import argparse
import sys
import time

from holdfast.testing.simulation.mutants import MUTANTS, mutated
from holdfast.testing.simulation.runs import failure_of, traced

_SAY_EVERY_S = 10.0


def main(arguments: list[str] | None = None) -> int:
    """Run seeds one after the other; returns 0 when what was expected came out."""
    options = _parser().parse_args(arguments)
    with mutated(options.mutant):
        if options.trace:
            print("\n".join(traced(options.first, options.mutant)))
            return 0
        failed, done, seconds = _run(options)
    print(f"{done} seeds from {options.first}: {failed} failed, {seconds:.0f} s")
    if options.mutant:
        print(f"mutant {options.mutant}: {'caught' if failed else 'NOT caught'}")
        return 0 if failed else 1
    return 1 if failed else 0


def _run(options: argparse.Namespace) -> tuple[int, int, float]:
    began = said = time.monotonic()
    failed = done = 0
    for seed in range(options.first, options.first + options.seeds):
        failure = failure_of(seed, options.mutant)
        done += 1
        if failure is not None:
            failed += 1
            print(failure, flush=True)
            if options.mutant or failed >= options.failures:
                break
        if time.monotonic() - said > _SAY_EVERY_S:
            said = time.monotonic()
            print(f"{done} of {options.seeds}, {failed} failed", file=sys.stderr, flush=True)
    return failed, done, time.monotonic() - began


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m holdfast.testing.simulation",
        description="Simulate a stateful processor under faults, once for each seed.",
    )
    parser.add_argument("--seeds", type=int, default=1000, help="how many seeds (1000)")
    parser.add_argument("--from", dest="first", type=int, default=0, help="the first seed (0)")
    parser.add_argument("--mutant", choices=MUTANTS, help="break the engine in a known way; must be caught")
    parser.add_argument("--failures", type=int, default=10, help="stop after so many failures (10)")
    parser.add_argument("--trace", action="store_true", help="show what happens in the first seed")
    return parser


if __name__ == "__main__":
    sys.exit(main())
