"""The Wyoming protocol of Home Assistant's voice assistants."""
