"""State that processes share through Redis: locks, heartbeats, and whether Milvus is out of reach."""
