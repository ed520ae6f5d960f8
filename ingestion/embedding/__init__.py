"""Texts → dense and sparse vectors. Other packages use ``embedder``; the other modules are its parts.

``packed_attention``, ``cpu_encoder``, ``cpu_threads``, ``packed_encoder`` and ``model_loader`` import torch: only what
``embedder.load_model`` calls may import them, and only when it is called.
"""
