"""Learning: the loop, the codec task, losses, discriminators, snapshots, the run's health. Never imported by the server."""
