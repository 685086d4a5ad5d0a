"""``python -m holdfast.chaos.containers``: make the brokers' image, and print its name."""

from __future__ import annotations

import sys

from holdfast.chaos.containers.images import ensure_kafka_image
from holdfast.errors import HoldfastError
from holdfast.local.progress import Silent


class _Lines(Silent):
    """Tells the steps on standard error."""

    def step(self, text: str) -> None:
        """Print it."""
        print(f"{text} ...", file=sys.stderr, flush=True)


def main() -> int:
    """Make the image unless it is there."""
    try:
        print(ensure_kafka_image(_Lines()))
    except HoldfastError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
