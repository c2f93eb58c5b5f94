"""The step executor: a schedule walked event by event through the device protocol."""
