"""Tokenise, arrange, run, put back in order: knows no server, no content type and no task."""
