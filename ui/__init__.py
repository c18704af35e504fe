"""The pages. They are HTTP clients of the backend: they import nothing from it, and never torch."""
