"""Bodies to records, answers to bodies: knows no task and needs the standard library only."""
