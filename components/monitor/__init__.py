"""monitor: drift of the scored rows, and performance where labels have matured."""
