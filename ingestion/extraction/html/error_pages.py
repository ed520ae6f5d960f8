"""Error pages: pages that are sent with status 200 but hold an error, a login or an empty shell of scripts.

They never replace good text. Two signs are needed: what the page says of itself, and that it has hardly any other
text. A page *about* such pages has more.
"""

from __future__ import annotations

import re

from ingestion.exceptions import ErrorPage
from ingestion.extraction.html.parser import Tree

# The longest error page of common servers and themes has 90 words; the shortest page of Django's documentation that
# has "404" in its title has 300.
ERROR_WORDS, LOGIN_WORDS, SHELL_WORDS = 120, 80, 25
SHOWN_CHARS = 20_000

_ERROR = re.compile(
    r"^(?:(?:error|http|oops|sorry|uh[ -]oh|whoops)\W*)*"
    r"(?:4(?:04|10)\b(?! (?:tea|ways|things))|page (?:was |is |could |can )?(?:not|n't|cannot) (?:be "
    r")?(?:found|available|exist)|"
    r"not found|page (?:does not|doesn.t) exist|page missing|page gone|file not found|"
    r"(?:this|the|that|your requested) page (?:could not|can.?t|cannot|was not|isn.t|is not|does not|doesn.t|no "
    r"longer)|"
    r"(?:we )?(?:could not|couldn.t|can.t|cannot) find (?:this|that|the|your)(?: requested)? page|"
    r"seite (?:wurde )?nicht gefunden|page (?:non trouvée|introuvable)|página no encontrada|pagina non trovata|"
    r"página não encontrada|pagina niet gevonden|страница не найдена|ページが見つかりません|页面(?:不存在|未找到))",
    re.IGNORECASE,
)
_ENDS_IN_ERROR = re.compile(
    r"(?:^|[|·–—:-] ?)(?:error )?(?:404|page not found|404 not found|not found)\W*(?:\(404\))?$", re.IGNORECASE
)
_LOGIN = re.compile(
    r"\b(?:log ?[io]n|sign[ -]?in|log in to|authenticat|password|anmelden|connexion|iniciar sesión|single sign)",
    re.IGNORECASE,
)
_SCRIPT_WANTED = re.compile(
    r"(?:enable|requires?|needs?|turn on|without|activate|support) (?:\w+ ){0,3}javascript"
    r"|javascript (?:\w+ ){0,4}(?:enabled|required|disabled)",
    re.IGNORECASE,
)
# The ids of elements that scripts fill, and the names of those of them that show a description of an API.
_VIEWERS = frozenset({"swagger-ui", "redoc", "redoc-container", "rapi-doc", "elements-api"})
# The page's own title, the site's heading and the error's. Further headings are sections, as "404 Not Found" of an API.
TITLES_OF_ERROR = 3
_ROOTS = _VIEWERS | {"root", "app", "__next", "__nuxt", "___gatsby", "svelte", "main-app", "app-root", "q-app"}


def check(url: str, tree: Tree, *, titles: list[str], words: int, passwords: int) -> None:
    """Raise ErrorPage for an error page, a login or an empty shell of scripts that was sent as a page.

    ``titles``: the page's own title and its headings; ``words``: the number of those of its main content;
    ``passwords``: the number of fields for one.
    """
    if words > ERROR_WORDS:
        return
    shown = " ".join(tree.shown)[:SHOWN_CHARS]
    if any(_ERROR.match(title) or _ENDS_IN_ERROR.search(title) for title in titles[:TITLES_OF_ERROR]):
        raise ErrorPage(f"{url} says that it does not exist, yet the server sent it as a page. Check the address.")
    if words <= LOGIN_WORDS and passwords and any(_LOGIN.search(text) for text in [*titles, shown]):
        raise ErrorPage(f"{url} asks for a password instead of showing a page. Only public pages can be read.")
    if words <= SHELL_WORDS and _is_shell(tree, shown, has_headings=len(titles) > 1):
        raise ErrorPage(
            f"{url} is empty until scripts run, which we do not do. Add the site's source files or its repository "
            f"instead."
        )


def _is_shell(tree: Tree, shown: str, *, has_headings: bool) -> bool:
    """Return whether a page is empty until its scripts run.

    A page with scripts and without headings is empty if ``shown``, its visible text, asks for JavaScript, or if it has
    an element that scripts usually fill. Any other page is empty only if it has such an element for the description of
    an API, without words in it.
    """
    names = [(node, {node.tag, node.get("id")}) for node in tree.root.walk()]
    if has_headings or not tree.scripts:
        return any(not found.isdisjoint(_VIEWERS) and not node.words() for node, found in names)
    return bool(_SCRIPT_WANTED.search(shown)) or any(not found.isdisjoint(_ROOTS) for _, found in names)
