"""Processes that the local AWS starts and watches over."""
