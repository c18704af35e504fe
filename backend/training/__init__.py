"""Training: loop, tasks, losses, presets. The server never imports it."""
