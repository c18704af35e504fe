"""GPU, CPU and memory monitoring, running statistics and log formats."""
