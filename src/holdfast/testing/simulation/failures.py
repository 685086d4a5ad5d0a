"""What a simulation ends with when something is wrong."""

from __future__ import annotations

from holdfast.errors import HoldfastError


class SimulationError(HoldfastError):
    """The simulation itself cannot go on: it is used in a wrong way, or it found no end."""


class SimulationFailed(HoldfastError, AssertionError):
    """What was simulated broke a rule. The message ends with the line that repeats the run.

    Attributes:
        seed: the seed.
        problems: what was found, one line each.
    """

    def __init__(self, seed: int, problems: list[str], repeat: str) -> None:
        self.seed = seed
        self.problems = problems
        shown = "\n".join(f"  {problem}" for problem in problems[:10])
        more = f"\n  and {len(problems) - 10} more" if len(problems) > 10 else ""
        super().__init__(f"seed {seed}: {len(problems)} problems\n{shown}{more}\nrepeat it: {repeat}")
