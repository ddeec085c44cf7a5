"""What tasks share that give each example one of several classes: data, batches, training, weights."""
