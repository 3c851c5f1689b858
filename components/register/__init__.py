"""register, a component: see README.md."""
