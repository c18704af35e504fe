"""Music training: config, encoded corpora, batches, task, export."""
