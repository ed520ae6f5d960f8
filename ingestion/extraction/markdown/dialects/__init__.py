"""The dialects of Markdown, each a named set of rules; where two rules match, the first one is taken."""

from __future__ import annotations

from ingestion.extraction.markdown.dialects import (
    docfx,
    docusaurus,
    gitbook,
    github,
    hugo,
    jekyll,
    mdx,
    mkdocs,
    myst,
    pymdownx,
    quarto,
    vitepress,
)

DIALECTS = (
    myst.DIALECT,
    quarto.DIALECT,
    docfx.DIALECT,
    hugo.DIALECT,
    gitbook.DIALECT,
    jekyll.DIALECT,
    mkdocs.DIALECT,
    pymdownx.DIALECT,
    vitepress.DIALECT,
    mdx.DIALECT,
    docusaurus.DIALECT,
    github.DIALECT,
)
