"""What the embedder is made of. ``attention``, ``network``, ``int8`` and ``weights`` import torch: only
``embedder.load_model`` may import them, and only when it is called."""
