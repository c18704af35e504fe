"""Voice training: config, task, dataset, validation, export."""
