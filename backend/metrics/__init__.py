"""Metrics of audio quality. A metric whose package or weights are missing raises `NotAvailable`."""
