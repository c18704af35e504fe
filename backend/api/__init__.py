"""The HTTP API: routes, schemas, middleware, and the table from errors to status codes."""
