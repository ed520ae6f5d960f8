"""Bytes of a page → the encoding that the page itself names, as browsers look for it.

Out: the label as written, or an empty string. What stands in a comment, in an attribute or in a tag that never ends
declares nothing, and of an element ``meta`` only its attribute ``charset`` counts, or ``content`` where
``http-equiv`` says that it is the content type. An XML declaration counts where no element does.
This is the standard's prescan (html.spec.whatwg.org, "prescan a byte stream"); w3lib's stops after 4 KB, which
pages with scripts in front of the declaration exceed, and BeautifulSoup's takes any "charset=" inside any ``meta``.
"""

from __future__ import annotations

import re

_XML = re.compile(r"""\s*<\?xml\s[^>]*?\bencoding\s*=\s*(?:"([^">]*)"|'([^'>]*)')""")
_TAG = re.compile(
    r"""<!--(?:>|->|.*?-->|.*+)
      | <(?P<name>/?[a-z][^\s/>]*+) (?P<attributes>(?: = \s*+ (?:"[^"]*+(?:"|\Z) | '[^']*+(?:'|\Z))?+ | [^>=]++)*+)
        (?P<end>>)?
    """,
    re.IGNORECASE | re.DOTALL | re.VERBOSE,
)
_ATTRIBUTE = re.compile(r"""([^\s/>=][^\s/>=]*+)(?:\s*+=\s*+(?:"([^"]*+)"|'([^']*+)'|([^\s>]*+)))?""")
_CONTENT = re.compile(r"""charset\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s;"'][^\s;]*))""", re.IGNORECASE)


def declared(body: bytes) -> str:
    text = body.decode("latin-1")
    for tag in _TAG.finditer(text):
        label = _label(tag["attributes"]) if tag["end"] and tag["name"].lower() == "meta" else ""
        if label:
            return label
    xml = _XML.match(text)
    return "".join(filter(None, xml.groups())) if xml else ""


def _label(attributes: str) -> str:
    """The first attribute of a name counts."""
    values: dict[str, str] = {}
    for name, *written in _ATTRIBUTE.findall(attributes):
        values.setdefault(name.lower(), "".join(written))
    if "charset" in values:
        return values["charset"].strip()
    if values.get("http-equiv", "").lower() != "content-type":
        return ""
    found = _CONTENT.search(values.get("content", ""))
    return "".join(filter(None, found.groups())).strip() if found else ""
