"""Request execution: worker threads, the scheduler, bounded streams and caches."""
