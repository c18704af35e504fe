"""What outlives the process: voices on disk, written whole or not at all."""
