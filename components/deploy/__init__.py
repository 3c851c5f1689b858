"""deploy, a component: see README.md."""
