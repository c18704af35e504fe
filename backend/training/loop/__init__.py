"""The training loop: snapshots, guards, EMA, logging."""
