"""The series behind docs/reliability.md: every fault by chance, on every workload, with many seeds."""
