"""Texts → dense and sparse vectors. Other packages use ``embedder``; the other modules are its parts.

``packed_attention``, ``packed_encoder``, ``model_loader`` and ``bert_loader`` import torch: only what
``embedder.load_model`` calls may import them, and only when it is called.
"""
