"""Documentation generators: the element that holds a page's text, and the clutter in it. Data alone.

A row applies if one of its ``content`` selectors finds something and, where it has ``marks``, one of these does.
A mark ``generator:x`` matches where the page's own generator element begins with x. Rows are tried in order; the more
specific ones stand first.
"""

from __future__ import annotations

from typing import NamedTuple


class Generator(NamedTuple):
    """One generator or theme; all but its name are selectors."""

    name: str
    content: tuple[str, ...]
    marks: tuple[str, ...] = ()
    clutter: tuple[str, ...] = ()  # in the rows below, bare words are classes
    titles: tuple[str, ...] = ()  # the title, where it stands outside the content or is no heading


def _row(name: str, content: str, marks: str = "", clutter: str = "", titles: str = "") -> Generator:
    """Return a generator from its name and its selectors, which are written with commas between them.

    Those of ``clutter`` are written with spaces between them, and a bare word among them is a class.
    """
    hidden = tuple(word if word.startswith(("#", ".")) or ">" in word else f".{word}" for word in clutter.split())
    return Generator(name, _list(content), _list(marks), hidden, _list(titles))


def _list(selectors: str) -> tuple[str, ...]:
    """Return the selectors in a text that has commas between them, stripped of white space; empty ones are left out."""
    return tuple(selector.strip() for selector in selectors.split(",") if selector.strip())


GENERATORS: tuple[Generator, ...] = (
    _row(
        "MkDocs Material",
        ".md-content__inner, .md-content",
        clutter="md-content__button md-source-file md-feedback md-tags md-clipboard md-nav md-path "
        "md-annotation__index",
    ),
    _row(
        "Read the Docs theme of Sphinx and MkDocs",
        "[itemprop=articleBody]",
        marks=".rst-content, .wy-nav-content",
        clutter="rst-footer-buttons rst-breadcrumbs-buttons wy-breadcrumbs ethical-rtd toctree-wrapper related "
        "fn-backref",
    ),
    _row(
        "PyData and Book themes of Sphinx",
        "article.bd-article",
        clutter="prev-next-area bd-header-article toctree-wrapper header-article fn-backref",
    ),
    _row(
        "Furo theme of Sphinx",
        "#furo-main-content",
        clutter="toctree-wrapper related-pages content-icon-container back-to-top fn-backref",
    ),
    _row(
        "Sphinx",
        "div.body, [role=main], #bd .yui-g, .document",
        marks=".sphinxsidebar, .sphinxsidebarwrapper, .documentwrapper, .bodywrapper, html[data-content_root], "
        ".headerlink",
        clutter="toctree-wrapper related sphinxsidebar fn-backref prev-next-area local",
    ),
    _row(
        "MkDocs",
        "[role=main]",
        marks="generator:mkdocs, .wm-page-content, .bs-sidebar",
        clutter="wm-article-nav wm-article-nav-buttons wm-page-toc",
    ),
    _row(
        "Docusaurus",
        ".theme-doc-markdown, article .markdown",
        marks="generator:docusaurus, .theme-doc-markdown",
        clutter="hash-link theme-doc-breadcrumbs theme-doc-toc-mobile pagination-nav theme-doc-footer "
        "theme-edit-this-page theme-doc-version-badge theme-doc-version-banner theme-last-updated",
        titles="article header h1",
    ),
    _row(
        "Starlight",
        ".sl-markdown-content",
        clutter="sl-anchor-link pagination-links copy sr-only",
        titles=".content-panel h1, #_top",
    ),
    _row(
        "VitePress and VuePress",
        ".vp-doc, .theme-default-content, .vp-page .content__default",
        clutter="header-anchor VPDocFooter VPDocAside line-numbers-wrapper line-numbers copy lang page-edit page-nav "
        "table-of-contents page-meta",
    ),
    _row(
        "Nextra",
        "article.nextra-content, .nextra-content main, article main, main article",
        marks=".nextra-toc, .nextra-sidebar, .nextra-navbar, .nextra-nav-container, .nextra-content",
        clutter="nextra-breadcrumb nextra-toc subheading-anchor nextra-copy-icon",
    ),
    _row(
        "mdBook",
        "#content main, #mdbook-content main",
        marks="#menu-bar, #mdbook-menu-bar, .mdbook, #mdbook-help-container",
        clutter="buttons nav-chapters nav-wide-wrapper nav-wrapper fa",
    ),
    _row(
        "Docsy",
        ".td-content",
        clutter="td-page-meta td-toc feedback--title feedback--question feedback--response td-breadcrumbs "
        "section-index td-heading-self-link reading-time text-muted",
    ),
    _row(
        "Book theme of Hugo",
        ".book-page .markdown, .book-page article",
        clutter="anchor book-footer book-toc book-header",
    ),
    _row(
        "Relearn and Geekdoc themes of Hugo",
        "#body-inner, .gdoc-markdown",
        clutter="gdoc-markdown__anchor gdoc-page__anchor topbar anchor copy-to-clipboard-button gdoc-page__footer "
        "headline",
    ),
    _row(
        "Just the Docs",
        "#main-content, .main-content main",
        marks=".side-bar, .site-nav, .anchor-heading",
        clutter="anchor-heading breadcrumb-nav site-footer toc",
    ),
    _row(
        "Minimal Mistakes",
        ".page__content",
        clutter="toc sidebar__right page__share page__meta pagination header-link",
        titles=".page__title",
    ),
    _row(
        "GitBook",
        ".page-inner .markdown-section, .markdown-section, [data-testid=page.contentEditor], main",
        marks="generator:gitbook, .book-summary, [data-testid=page.contentEditor], .gitbook-root",
        clutter="page-toc page-footer gitbook-link copy-button",
        titles="main header h1",
    ),
    _row(
        "pdoc",
        "main.pdoc, article#content",
        marks="generator:pdoc, .pdoc",
        clutter="view-source-button view-source-toggle-state section>.pdoc-code .classattr>.pdoc-code source "
        "headerlink git-link-div edit-button",
    ),
    _row(
        "Javadoc",
        "main[role=main], .contentContainer, main",
        marks="generator:javadoc, .contentContainer",
        clutter="sub-nav top-nav nav-bar skip-nav toc bottom-nav sub-title anchor-link table-tabs search-tag-result",
        titles=".header .title, .header h1, .header h2",
    ),
    _row(
        "Doxygen",
        "div.contents",
        marks="generator:doxygen, #doc-content",
        clutter="permalink lineno ttc footer summary dyncontent toc memtemplate-anchor directory navpath mlabels "
        "ingroups",
        titles=".headertitle .title",
    ),
    _row(
        "rustdoc",
        "#main-content",
        marks="generator:rustdoc, .rustdoc",
        clutter="out-of-band src anchor doc-anchor sidebar rightside tooltip notable-traits rustdoc-breadcrumbs "
        "test-arrow since scrape-help code-attribute-toggle",
    ),
    _row(
        "Antora and AsciiDoc",
        "article.doc, #content",
        marks="generator:asciidoc, generator:antora, article.doc",
        clutter="toolbar toc anchor pagination edit-this-page source-toolbox copy-toast conum",
        titles="#header h1",
    ),
    _row(
        "MediaWiki",
        ".mw-parser-output, #mw-content-text",
        clutter="mw-editsection navbox toc mw-jump-link catlinks ambox noprint sistersitebox reflist metadata "
        "mw-empty-elt printfooter mw-cite-backlink references navbox-styles vertical-navbox sidebar hatnote "
        "mw-references-wrap authority-control mwe-math-fallback-image-inline mwe-math-fallback-image-display",
        titles="#firstHeading, .firstHeading",
    ),
    _row(
        "DocBook",
        "body",
        marks="generator:docbook",
        clutter="navheader navfooter spirit-nav toc body>table",
    ),
    _row(
        "Texinfo, groff, Pandoc",
        "body",
        marks="generator:makeinfo, generator:gnu texinfo, generator:texi2html, generator:groff, generator:pandoc",
        clutter="nav-panel contents shortcontents node body>.header",
    ),
    _row(
        "Node.js",
        "#apicontent",
        clutter="mark srclink copy-button js-flavor-toggle",
    ),
    _row("Redoc", ".api-content", marks="#redoc, redoc"),
    _row("Confluence", "#main-content.wiki-content, .wiki-content", clutter="toc-macro", titles="#title-text"),
    _row(
        "Stack Exchange",
        ".s-prose, .post-text",
        marks="#question-header, .question-hyperlink, #mainbar",
        titles="#question-header h1",
    ),
    _row(
        "Discourse",
        ".cooked, .post[itemprop=text]",
        marks="generator:discourse",
        clutter="cooked-selection-barrier post-links-container",
        titles="h1",
    ),
    _row(
        "GitHub",
        ".markdown-body",
        clutter="anchor zeroclipboard-container octicon snippet-clipboard-content-button",
        titles=".gh-header-title, .js-issue-title",
    ),
)
