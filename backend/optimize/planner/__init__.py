"""The planner: benchmarks optimizations on this machine and picks a plan."""
