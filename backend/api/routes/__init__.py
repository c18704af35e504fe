"""Every router of the HTTP interface; `ROUTERS` is the list the app includes."""

from backend.api.routes import health

ROUTERS = (health.router,)
