"""Faults on real brokers, workers, networks, disks and clocks; each proves that it happened."""
