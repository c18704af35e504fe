"""Training: loop, codec and voice tasks, losses, discriminators, snapshots, diagnosis. Never imported by the server."""
