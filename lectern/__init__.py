"""The command line of Lectern: train, approve, predict, batch and status, by boto3 alone."""
