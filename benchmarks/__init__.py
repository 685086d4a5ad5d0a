"""Side-by-side benchmarks of Holdfast and its peers; see docs/benchmarks.md."""
