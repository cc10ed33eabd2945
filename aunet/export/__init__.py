"""Files for the programs of others, made from predictions and trained networks."""
