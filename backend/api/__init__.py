"""The HTTP API: routes, middleware, compatible APIs and error responses."""
