"""Jobs: retrainings of a collection, each in a process of its own."""
