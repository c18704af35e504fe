"""The planner: benchmarks optimizations on this machine and selects a plan."""
