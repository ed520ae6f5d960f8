"""Markdown → chunks within a token budget.

``chunker`` cuts, ``split_points`` says where it may, ``token_counter`` what a piece of text costs.
"""
