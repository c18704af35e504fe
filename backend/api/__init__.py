"""The HTTP interface: thin routes, authentication and the one table from errors to status codes."""
