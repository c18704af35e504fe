"""Codec training: config, task, losses, discriminators, validation."""
