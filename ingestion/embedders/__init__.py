"""What the embedder is made of. ``attention``, ``int8``, ``lanes``, ``network`` and ``weights`` import torch: only
what ``embedder.load_model`` calls may import them, and only when it is called."""
