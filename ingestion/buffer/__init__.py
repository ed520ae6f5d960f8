"""The Redis list between the GPU worker and Milvus: ``embedding_queue``, its ``codec``, and ``dead_letters``."""
