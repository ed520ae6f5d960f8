"""Texts → dense and sparse vectors. ``embedder`` is the door; what it is made of stands beside it.

``packed_attention``, ``int8_encoder``, ``cpu_threads``, ``packed_encoder`` and ``model_loader`` import torch: only what
``embedder.load_model`` calls may import them, and only when it is called.
"""
