"""Worker threads, scheduler, bounded streams and caches that run requests through the models."""
