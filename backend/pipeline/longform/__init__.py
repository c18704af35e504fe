"""Long-form synthesis: jobs and audiobooks."""
