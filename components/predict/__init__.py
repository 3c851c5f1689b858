"""predict, a component: see README.md."""
