"""Texts → dense and sparse vectors. Other packages use ``loading`` and ``embedder``; the other modules are their parts.

``packed_attention``, ``packed_encoder``, ``model_loader`` and ``bert_loader`` import torch: only what
``loading.load_model`` calls may import them, and only when it is called.
"""
