"""The local AWS: one process tree on 127.0.0.1 that really deploys, trains and serves."""
