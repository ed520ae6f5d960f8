"""Records in the buffer → Milvus → rows marked indexed, and the care of whole collections."""
