"""Markdown → chunks within a token budget.

``chunker`` splits, ``split_points`` tells where it may, ``token_counter`` how many tokens a span of text has.
"""
