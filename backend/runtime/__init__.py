"""Requests on their way through the models: worker threads, the scheduler, bounded streams, caches."""
