"""canary: a challenger earns its traffic, or loses it."""
