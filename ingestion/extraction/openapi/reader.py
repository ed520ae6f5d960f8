"""An OpenAPI document (Swagger 2.0, OpenAPI 3.0 and 3.1; YAML or JSON) → a page with a section for each operation.

Sections follow the tags; an operation's heading is its method and path, so that each is cut, found and cited on its
own. Parameters, bodies and answers are tables, examples fences, named schemas a section at the end. A heading leads to
the part of the file that it describes (``#/paths/~1pets/get``). Vendor extensions are left out and counted, but for
samples of code.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ingestion import markdown_outline
from ingestion.extraction.code_fence import fence
from ingestion.extraction.links import BARE_LINK, absolute, file_name
from ingestion.extraction.openapi.loader import Object, load, resolve
from ingestion.extraction.openapi.parts import Parts, line, one_line
from ingestion.extraction.openapi.room import Room
from ingestion.extraction.openapi.schemas import as_dict, as_list, shown_value
from ingestion.extraction.pipe_table import pipe_table
from ingestion.extraction.sanitize import clean
from ingestion.types import Extracted

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace", "query")
SAMPLES = ("x-codeSamples", "x-code-samples")
EXTENSION = "vendor extension"
UNTAGGED = "Operations"


def read(url: str, text: str) -> Extracted:
    """Return an OpenAPI document as Markdown. Raises UnsupportedContent for another YAML or JSON text."""
    page = _Page(url, load(url, text), Room(len(text)))
    markdown = clean("\n\n".join(filter(None, page.blocks())))
    title = _name(page.info.get("title"), file_name(url))
    for words in _extensions(page.root):
        page.room.dropped.add(EXTENSION, words)
    fragments = iter(page.fragments)
    return Extracted(
        title=title,
        markdown=markdown,
        links=absolute(url, BARE_LINK.findall(markdown)),
        anchors=markdown_outline.anchors(markdown, title, lambda _: next(fragments, "")),
        dropped=page.room.dropped.totals(),
    )


class _Page(Parts):
    """The page of one document."""

    def __init__(self, url: str, root: Object, room: Room) -> None:
        super().__init__(url, root, room)
        self.info = as_dict(root.get("info"))

    def blocks(self) -> Iterator[str]:
        """Yield the Markdown of the whole page."""
        yield self.heading(1, _name(self.info.get("title"), file_name(self.url)), "/info")
        yield line("Version", self.info.get("version"))
        yield self.text(str(self.info.get("summary") or ""), 1)
        yield self.text(self.info.get("description"), 1)
        yield from self._facts()
        operations = list(self._operations())
        tags = {_name(tag.get("name"), UNTAGGED): tag for tag in map(as_dict, as_list(self.root.get("tags")))}
        names = dict.fromkeys([*tags, *(tag for tag, *_ in operations)])
        for name in names:
            yield self.heading(2, name, "/tags")
            yield self.text(tags.get(name, {}).get("description"), 2)
            yield self.links(tags.get(name, {}))
            for tag, heading, pointer, shared, operation in operations:
                if tag == name:
                    yield from self._operation(heading, pointer, shared, operation)
        yield from self._models()

    def _facts(self) -> Iterator[str]:
        """Yield the servers of the API, its contact, license and links, and the ways to authenticate."""
        servers = [as_dict(server) for server in as_list(self.root.get("servers"))]
        lines = [self.room.cut(one_line("-", s.get("url", ""), s.get("description", ""))) for s in servers]
        for server in servers:
            for name, variable in as_dict(server.get("variables")).items():
                lines.append(f"  - {one_line(f'{{{name}}}:', self.schemas.notes(variable))}")
        if "host" in self.root or "basePath" in self.root:
            schemes = ", ".join(map(str, as_list(self.root.get("schemes"))))
            lines.append(one_line(f"- {self.root.get('host', '')}{self.root.get('basePath', '')}", schemes))
        yield "\n".join(["**Servers**", "", *lines]) if lines else ""
        contact, license_ = as_dict(self.info.get("contact")), as_dict(self.info.get("license"))
        yield line("Contact", " ".join(map(str, contact.values())))
        yield line("License", " ".join(map(str, license_.values())))
        yield line("Terms of service", self.info.get("termsOfService"))
        yield self.links(self.root)
        schemes_ = as_dict(self._component("securitySchemes", "securityDefinitions"))
        if schemes_:
            yield self.heading(2, "Authentication", "/components/securitySchemes")
            for name, value in schemes_.items():
                scheme = resolve(self.root, value)
                yield f"**{name}**"
                yield self.text(scheme.get("description"), 2)
                rest = {key: part for key, part in scheme.items() if key != "description"}
                yield "\n".join(one_line(f"- {key}:", shown_value(part)) for key, part in rest.items())

    # --- Operations -------------------------------------------------------------------------------------

    def _operations(self) -> Iterator[tuple[str, str, str, Object, Object]]:
        """Yield (first tag, heading, pointer, path item, operation) of each operation, webhooks last."""
        for group, name_of_group in (("paths", UNTAGGED), ("webhooks", "Webhooks")):
            for path, value in as_dict(self.root.get(group)).items():
                item = resolve(self.root, value)
                for method in METHODS:
                    if isinstance(item.get(method), dict):
                        tag = _name(next(iter(as_list(item[method].get("tags"))), ""), name_of_group)
                        key = str(path).replace("~", "~0").replace("/", "~1")
                        yield tag, f"`{method.upper()} {path}`", f"/{group}/{key}/{method}", item, item[method]

    def _operation(
        self, heading: str, pointer: str, shared: Object, operation: Object, level: int = 3
    ) -> Iterator[str]:
        """Yield the section of an operation in Markdown; ``shared`` is its path item, whose text it inherits."""
        yield self.heading(level, heading, pointer)
        yield f"**{self.room.cut(one_line(operation['summary']))}**" if operation.get("summary") else ""
        yield "Deprecated." if operation.get("deprecated") is True else ""
        yield self.text(operation.get("description"), level)
        yield from self.within_room(self._details(shared, operation, level))

    def _details(self, shared: Object, operation: Object, level: int) -> Iterator[str]:
        """Yield what follows the description of an operation in Markdown; ``shared`` is its path item."""
        for key in ("summary", "description"):
            yield self.text(shared.get(key), level)
        yield line("Operation", operation.get("operationId"))
        yield line("Also under", ", ".join(dict.fromkeys(map(str, as_list(operation.get("tags"))[1:]))))
        yield self.links(operation)
        yield self._security(operation)
        own = [resolve(self.root, p) for p in as_list(operation.get("parameters"))]
        named = {(p.get("name"), p.get("in")) for p in own}
        inherited = [resolve(self.root, p) for p in as_list(shared.get("parameters"))]
        parameters = [*(p for p in inherited if (p.get("name"), p.get("in")) not in named), *own]
        yield from self._parameters([p for p in parameters if p.get("in") != "body"])
        for body in (p for p in parameters if p.get("in") == "body"):
            yield from self._body(body, [("", body)])
        body = resolve(self.root, operation.get("requestBody"))
        yield from self._body(body, list(as_dict(body.get("content")).items())) if body else ()
        yield from self._responses(as_dict(operation.get("responses")))
        yield from self._callbacks(as_dict(operation.get("callbacks")), level)
        for sample in (as_dict(s) for key in SAMPLES for s in as_list(operation.get(key))):
            yield fence(str(sample.get("source", "")), str(sample.get("lang", "")).split(" ")[0].lower())

    def _parameters(self, parameters: list[Object]) -> Iterator[str]:
        """Yield a title and a table of the parameters, in Markdown; nothing if there are none.

        Of a parameter with several media types, the first one's schema is shown.
        """
        rows = []
        for parameter in parameters:
            media: Any = next(iter(as_dict(parameter.get("content")).values()), {})
            schema = parameter.get("schema") or as_dict(media).get("schema") or parameter
            own = {
                k: v for k, v in parameter.items() if k not in ("name", "in", "required", "schema", "content", "type")
            }
            notes = (
                self.schemas.notes(own)
                if schema is parameter
                else f"{self.schemas.notes(own)} {self._notes_of(schema)}"
            )
            required = "yes" if parameter.get("required") is True else ""
            type_ = self.schemas.type_of(schema)
            rows.append(
                [f"`{parameter.get('name', '')}`", str(parameter.get("in", "")), type_, required, notes.strip()]
            )
        if rows:
            yield "**Parameters**"
            yield pipe_table([["Name", "In", "Type", "Required", "Description"], *rows])

    def _notes_of(self, schema: Any) -> str:
        """Return the description and limits of a schema, or of the one that its reference names; empty without any."""
        return self.schemas.notes(resolve(self.root, schema))

    def _body(self, body: Object, contents: list[tuple[str, Any]]) -> Iterator[str]:
        """Yield the body of a request: its types, properties and examples."""
        yield "**Request body**" + (" (required)" if body.get("required") is True else "")
        yield self.text(body.get("description"), 4)
        for media_type, value in contents:
            yield from self._content(media_type, as_dict(value))

    def _content(self, media_type: str, content: Object) -> Iterator[str]:
        """Yield the type of a body, its schema's description and table of properties, and the examples, in Markdown.

        Some parts may be empty strings. A named schema is not described here, but among the models.
        """
        schema = content.get("schema")
        yield ": ".join(
            filter(None, [f"`{media_type}`" if media_type else "", self.schemas.type_of(schema) if schema else ""])
        )
        if isinstance(schema, dict):
            if "$ref" not in schema:
                yield self.text(schema.get("description"), 4)
                yield one_line(self.schemas.notes({k: v for k, v in schema.items() if k != "description"})).lstrip("# ")
            yield self.schemas.table(schema)
        yield from self.examples(content)

    def _responses(self, responses: Object) -> Iterator[str]:
        """Yield a table of what is answered, then the bodies and headers."""
        found = {
            str(status): resolve(self.root, value) for status, value in responses.items() if str(status)[:2] != "x-"
        }
        if not found:
            return
        yield "**Responses**"
        yield pipe_table(
            [["Status", "Description"], *([s, self.room.cut(str(r.get("description", "")))] for s, r in found.items())]
        )
        for status, response in found.items():
            # A response of version 2 is its own content.
            contents = list(as_dict(response.get("content")).items()) or [("", response)] * ("schema" in response)
            for media_type, value in contents:
                yield f"Body of {status}:"
                yield from self._content(media_type, as_dict(value))
            if not contents:
                yield from self.examples(response)
            headers = {name: resolve(self.root, header) for name, header in as_dict(response.get("headers")).items()}
            rows = [
                [f"`{n}`", self.schemas.type_of(h.get("schema") or h), self.schemas.notes(h)]
                for n, h in headers.items()
            ]
            yield f"Headers of {status}:" if rows else ""
            yield pipe_table([["Header", "Type", "Description"], *rows]) if rows else ""
            for name, value in as_dict(response.get("links")).items():
                link = resolve(self.root, value)
                yield one_line(f"Link {name}:", link.get("operationId", ""), link.get("description", ""))

    def _callbacks(self, callbacks: Object, level: int) -> Iterator[str]:
        """Yield a section for each operation of the callbacks, one level below ``level``; nothing from level 5 on."""
        for name, value in callbacks.items():
            for expression, item in resolve(self.root, value).items():
                for method, operation in as_dict(resolve(self.root, item)).items():
                    if method in METHODS and isinstance(operation, dict) and level < 5:
                        heading = f"Callback {name}: `{method.upper()} {expression}`"
                        yield from self._operation(heading, f"/callbacks/{name}", {}, operation, level + 1)

    def _security(self, operation: Object) -> str:
        """Return a line with the ways to authenticate, ``Authentication: a and b (scope) or c``; empty without any."""
        ways = [
            " and ".join(
                f"{name} ({', '.join(dict.fromkeys(map(str, as_list(scopes))))})" if as_list(scopes) else str(name)
                for name, scopes in as_dict(way).items()
            )
            for way in as_list(operation.get("security"))
        ]
        return line("Authentication", " or ".join(dict.fromkeys(filter(None, ways))))

    # --- Models -----------------------------------------------------------------------------------------

    def _component(self, name: str, old_name: str) -> Any:
        """Return what the document has under ``components`` and this name, or else at its root under ``old_name``.

        The first is its place in version 3, the second in version 2. The value may be of any type, None if missing.
        """
        return as_dict(self.root.get("components")).get(name) or self.root.get(old_name)

    def _models(self) -> Iterator[str]:
        """Yield a section for each named schema."""
        models = as_dict(self._component("schemas", "definitions"))
        place = "/definitions" if "definitions" in self.root else "/components/schemas"
        if models:
            yield self.heading(2, "Models", place)
        for name, schema in models.items():
            yield self.heading(3, str(name), f"{place}/{str(name).replace('~', '~0').replace('/', '~1')}")
            if isinstance(schema, dict):
                yield from self.within_room(self._model(schema))

    def _model(self, schema: Object) -> Iterator[str]:
        """Yield the type of a named schema, its description, table of properties and examples, in Markdown."""
        kind = self.schemas.type_of(schema)
        yield one_line(kind) if kind != "object" else ""
        yield self.text(schema.get("description"), 3)
        own = {key: value for key, value in schema.items() if key not in ("description", "example", "examples")}
        yield one_line(self.schemas.notes(own)).lstrip("# ")
        yield self.schemas.table(schema)
        yield from self.examples(schema)


def _name(value: Any, otherwise: str) -> str:
    """Return the name that a value gives a tag or a page, or ``otherwise`` if it has no words."""
    return otherwise if value is None else clean(str(value)).strip() or otherwise


def _extensions(root: Object) -> Iterator[str]:
    """Yield the texts in keys that begin with ``x-``, each part of the document once."""
    seen: set[int] = set()
    waiting: list[tuple[Any, bool]] = [(root, False)]
    while waiting:
        value, is_inside = waiting.pop()
        if isinstance(value, str):
            yield value if is_inside else ""
        elif isinstance(value, dict | list) and id(value) not in seen:
            seen.add(id(value))
            parts = value.items() if isinstance(value, dict) else ((None, part) for part in value)
            waiting += [(part, is_inside or (str(key).startswith("x-") and key not in SAMPLES)) for key, part in parts]
