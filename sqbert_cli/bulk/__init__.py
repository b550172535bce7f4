"""Many files through many workers: shards that are planned once, and each done once, whatever dies in between."""
