"""The same work as a peer would write it."""
