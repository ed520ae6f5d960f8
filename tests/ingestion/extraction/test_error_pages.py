"""Error pages sent as good ones, logins and empty shells are told from pages, and pages about them are not."""

from __future__ import annotations

import pytest

from ingestion.exceptions import ErrorPage
from ingestion.extraction.extract import extract
from ingestion.types import Extracted, Page

URL = "https://docs.example/lost"


def read(body: str) -> Extracted:
    return extract(Page(url=URL, body=body.encode(), content_type="text/html"))


CHROME = "<header><a href=/>Kettle docs</a></header><nav><a href=a>Guide</a></nav>"
FOOT = "<footer>Copyright of the kettle makers</footer>"
ERRORS = {
    "title": "<title>404 Not Found</title><body><center><h1>404 Not Found</h1></center><hr><center>nginx</center>",
    "page title": "<title>Page not found - Kettle docs</title><main><h1>Oops</h1>"
    "<p>Nothing here. Try the search.</p></main>",
    "title with the site first": "<title>Kettle docs | 404</title><main><h1>Hm</h1><p>Nothing here.</p></main>",
    "heading": "<title>Kettle docs</title><main><h1>Page Not Found</h1>"
    "<p>We could not find what you were looking for.</p></main>",
    "number alone": "<title>Kettle</title><main><h1>404</h1><h2>There is no such page</h2><p>Go home.</p></main>",
    "sorry": "<title>Kettle</title><main><h1>Sorry, this page isn't available</h1><p>The link may be broken.</p>"
    "</main>",
    "gone": "<title>410 Gone</title><h1>Gone</h1><p>The resource is no longer here.</p>",
    "Sphinx": "<title>Not Found — Kettle 2 documentation</title><div class=documentwrapper><div class=body role=main>"
    "<h1>Page not found</h1><p>Unfortunately we couldn't find the content.</p></div></div>",
    "German": "<title>Seite nicht gefunden</title><h1>Seite nicht gefunden</h1><p>Leider ist hier nichts.</p>",
    "French": "<title>Page introuvable</title><h1>Page introuvable</h1><p>Rien ici.</p>",
    "Japanese": "<title>ページが見つかりません</title><h1>ページが見つかりません</h1><p>古いリンクです。</p>",
}


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_page_sent_as_a_page_is_refused(name: str) -> None:
    with pytest.raises(ErrorPage, match=rf"{URL}.*does not exist"):
        read(f"<html>{ERRORS[name]}{CHROME}{FOOT}")


LOGINS = {
    "form": "<title>Sign in</title><h1>Sign in to Kettle</h1><form><input name=user><input type=password>"
    "<button>Go</button></form>",
    "title": "<title>Log in · Kettle</title><form><label>Name</label><input name=user><label>Password</label>"
    "<input type=PASSWORD></form><a href=/forgot>Forgot it?</a>",
    "single sign-on": "<title>Kettle</title><h2>Welcome back</h2><p>Use single sign-on or your password.</p><form>"
    "<input type=password></form>",
    "words of the form": "<title>Kettle</title><form><p>Log in</p><input type=password></form><p>New here?</p>",
}


@pytest.mark.parametrize("name", LOGINS)
def test_a_login_is_refused(name: str) -> None:
    with pytest.raises(ErrorPage, match=rf"{URL} asks for a password"):
        read(LOGINS[name])


SHELLS = {
    "React": "<title>Kettle</title><noscript>You need to enable JavaScript to run this app.</noscript><div id=root>"
    "</div>"
    "<script src=app.js></script>",
    "no request": "<title>Kettle</title><body><div id=app><p>Loading…</p></div><script src=app.js></script>",
    "Angular": "<title>Kettle</title><app-root>Loading</app-root><script src=main.js></script>",
    "Next": "<title>Kettle</title><div id=__next></div><script>boot()</script><p>Loading</p>",
    "shown": "<title>K</title><p>Please turn on JavaScript.</p><script>x()</script>",
    "Swagger": "<title>API</title><h1>API docs</h1><div id=swagger-ui></div><script src=swagger.js></script>",
    "Redoc": "<title>API</title><redoc spec-url=a.json></redoc><p>ReDoc requires Javascript to function.</p>",
    "RapiDoc": "<title>API</title><h1>API</h1><rapi-doc spec-url=a.json></rapi-doc>",
    "passive": "<title>K</title><p>JavaScript must be enabled to view this page.</p><script>x()</script>",
}


@pytest.mark.parametrize("name", SHELLS)
def test_an_empty_shell_is_refused(name: str) -> None:
    with pytest.raises(ErrorPage, match=rf"{URL} is empty until scripts run"):
        read(SHELLS[name])


PROSE = (
    "<p>"
    + "The view answers with a page of its own, which a project may replace by a template of that name. " * 8
    + "</p>"
)
GOOD = {
    "about 404s": f"<title>404 Not Found - HTTP status | Manual</title><main><h1>404 Not Found</h1>{PROSE}</main>",
    "about error pages": f"<title>Customising the “page not found” page</title><main>"
    f"<h1>Page not found</h1>{PROSE}</main>",
    "about 404s, short": "<title>The 404 view</title><main><h1>The 404 view</h1><p>Called when nothing matches.</p>"
    "</main>",
    "about an answer of an API, short": "<title>Delete</title><main><h1>Delete a pot</h1><h2>204 No Content</h2>"
    "<p>It is gone.</p><h2>404 Not Found</h2><p>There was none.</p></main>",
    "a number": "<title>404 tea pots</title><h1>404 tea pots</h1><p>A museum in the hills.</p>",
    "about logins": f"<title>Log in users</title><main><h1>Sign in</h1>{PROSE}<form><input type=password></form>"
    f"</main>",
    "about logins, short": "<title>Log in</title><h1>How to log in</h1><p>Call <code>login()</code> with a user.</p>",
    "login in the menu": f"<title>Kettle</title><header><form><input type=password>Sign in</form></header>"
    f"<h1>Boil</h1>{PROSE}",
    "about JavaScript": f"<title>Scripts</title><main><h1>Enable JavaScript</h1>{PROSE}</main><script>x()</script>",
    "rendered by a server": f"<title>K</title><div id=root><main><h1>Boil</h1>{PROSE}</main></div><script>x()</script>",
    "short and rendered by a server": "<title>K</title><div id=app><h1>Boil</h1><p>Fill it.</p></div><script></script>",
    "short with a widget": "<title>K</title><h1>Boil</h1><p>Fill it.</p><div id=app></div><script>x()</script>",
    "short with scripts": "<title>K</title><main><h1>Boil</h1><p>Fill it, then press the switch.</p></main>"
    "<script>x()</script>",
    "short with a formula": "<title>K</title><div id=root><p>Let <script type='math/tex'>E</script> be.</p></div>",
    "search page": "<title>Search</title><h1>Search</h1><p>Activate JavaScript to search.</p><script>x()</script>",
    "found": "<title>Lost and found</title><h1>Lost and found</h1><p>Ask at the desk.</p>",
}


@pytest.mark.parametrize("name", GOOD)
def test_a_page_about_such_pages_is_a_page(name: str) -> None:
    assert read(GOOD[name]).markdown
