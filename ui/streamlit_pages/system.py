"""The System page: what the backend runs on, or why it cannot be asked."""

from __future__ import annotations

import streamlit as st

from ui.client import BackendClient, BackendError
from ui.health_table import health_rows


def show(client: BackendClient) -> None:
    """Draw the page; every visit asks the backend anew."""
    st.header("System")
    st.button("Refresh")
    try:
        rows = health_rows(client.health())
    except BackendError as error:
        st.error(f"The backend cannot be reached. {error}")
        return
    st.success(f"The backend at {client.url} is up.")
    st.table({label: [value] for label, value in rows})
