"""Prints the reference application's topology with the addresses that its systems have on the network.

    python declare.py topology.downstream.yaml sinks.yaml > topology.yaml

All but the sinks stays as it is declared for one machine, so there are no two declarations to keep the same.
"""

import sys
from pathlib import Path

import yaml


def declare(topology: str, sinks: str) -> str:
    """Put the sinks into a topology; both are YAML.

    Raises:
        SystemExit: the two do not name the same sinks.
    """
    declared, others = yaml.safe_load(topology), yaml.safe_load(sinks)
    if declared["sinks"].keys() != others["sinks"].keys():
        raise SystemExit(
            f"the topology has the sinks {sorted(declared['sinks'])}, and the other file "
            f"{sorted(others['sinks'])}; they have to be the same"
        )
    return yaml.safe_dump(declared | others, sort_keys=False, width=200)


if __name__ == "__main__":
    print(declare(*(Path(file).read_text(encoding="utf-8") for file in sys.argv[1:3])), end="")
