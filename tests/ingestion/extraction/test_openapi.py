"""OpenAPI documents become a page with a section for each operation; others and hostile ones are refused in time."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from ingestion.exceptions import UnsupportedContent
from ingestion.extraction.extract import extract
from ingestion.types import Extracted, Page
from tests.support.processor_time import spent
from tests.support.words import lost_words

SHOP = """
openapi: 3.0.3
info:
  title: Tea Shop
  version: 1.2.0
  description: |
    # Getting started

    Ask for a *key*.

    ```bash
    # not a heading
    curl https://tea.example
    ```
  x-logo: {url: secret.png}
servers:
  - url: https://{region}.tea.example/v1
    description: Production
    variables:
      region: {default: eu, enum: [eu, us], description: Where tea is kept}
tags:
  - {name: Teas, description: Everything about teas.}
paths:
  /teas/{id}:
    parameters:
      - {$ref: '#/components/parameters/Id'}
    get:
      tags: [Teas]
      summary: Find a tea
      operationId: getTea
      description: Returns one tea.
      security: [{key: []}, {oauth: [read]}]
      x-codeSamples:
        - {lang: Python, source: "shop.get(1)"}
      responses:
        200:
          description: The tea
          headers: {X-Left: {schema: {type: integer}, description: Calls left}}
          content:
            application/json:
              schema: {$ref: '#/components/schemas/Tea'}
              examples:
                sencha: {summary: A green one, value: {id: 1, name: Sencha}}
        default: {$ref: '#/components/responses/Failed'}
    put:
      deprecated: true
      requestBody:
        description: What to change
        required: true
        content:
          application/json:
            schema:
              type: object
              required: [state]
              properties:
                state: {type: string, enum: [on, off, no], default: on, description: On sale | not}
                since: {type: string, format: date, example: 2020-01-02}
                maker:
                  type: object
                  properties: {town: {type: string, maxLength: 20}}
                leaves: {type: array, items: {type: object, properties: {grade: {type: string, pattern: '^[A-Z]+$'}}}}
            example: {state: off}
      responses: {'204': {description: Changed}}
components:
  parameters:
    Id: {name: id, in: path, required: true, schema: {type: integer, minimum: 1}, description: The number of the tea}
  responses:
    Failed:
      description: It failed
      content: {application/problem+json: {schema: {type: object, properties: {reason: {type: string}}}}}
  securitySchemes:
    key: {type: apiKey, in: header, name: X-Key, description: Sent with each call}
    oauth: {type: oauth2, flows: {implicit: {authorizationUrl: 'https://in.example', scopes: {read: May read}}}}
  schemas:
    Tea:
      description: A tea on sale
      type: object
      required: [id]
      properties:
        id: {type: integer, format: int64}
        name: {type: string}
        parent: {$ref: '#/components/schemas/Tea'}
        kind: {$ref: '#/components/schemas/Kind'}
    Kind: {type: string, enum: [green, black], description: How it is made}
    Blend:
      allOf:
        - {$ref: '#/components/schemas/Tea'}
        - {type: object, properties: {parts: {type: array, items: {$ref: '#/components/schemas/Tea'}}}}
    Either: {oneOf: [{$ref: '#/components/schemas/Tea'}, {type: string}]}
"""


def read(document: str | dict[str, Any], content_type: str = "application/yaml") -> Extracted:
    text = document if isinstance(document, str) else json.dumps(document)
    return extract(Page("file:///docs/shop.yaml", text.encode(), content_type))


def section(markdown: str, heading: str) -> str:
    """Return the text below a heading, up to the next one."""
    return markdown.partition(f"{heading}\n")[2].partition("\n#")[0]


def test_each_operation_is_a_section_with_a_heading_path_and_an_anchor_of_its_own() -> None:
    page = read(SHOP)
    assert page.title == "Tea Shop"
    assert page.anchors["Tea Shop › Teas › GET /teas/{id}"] == "/paths/~1teas~1{id}/get"
    assert page.anchors["Tea Shop › Operations › PUT /teas/{id}"] == "/paths/~1teas~1{id}/put"
    assert page.anchors["Tea Shop › Models › Tea"] == "/components/schemas/Tea"
    found = section(page.markdown, "### `GET /teas/{id}`")
    for part in (
        "**Find a tea**\n\nReturns one tea.\n\nOperation: getTea",
        "Authentication: key or oauth (read)",
        "| `id` | path | integer | yes | The number of the tea. minimum: 1. |",
        "| 200 | The tea |\n| default | It failed |",
        "`application/json`: Tea",
        "| `name` | string |  |  |\n| `parent` | Tea |  |  |",
        'Example sencha: A green one:\n\n```json\n{\n  "id": 1,\n  "name": "Sencha"\n}\n```',
        "| `X-Left` | integer | Calls left. |",
        "```python\nshop.get(1)\n```",
    ):
        assert part in found


def test_a_body_shows_nested_properties_with_limits_and_words_that_yaml_might_change() -> None:
    found = section(read(SHOP).markdown, "### `PUT /teas/{id}`")
    for part in (
        "Deprecated.",
        "**Request body** (required)\n\nWhat to change",
        "| `state` | string | yes | On sale \\| not. enum: on, off, no. default: on. |",
        "| `since` | string (date) |  | Example: 2020-01-02. |",
        "| `maker.town` | string |  | maxLength: 20. |",
        "| `leaves[].grade` | string |  | pattern: ^[A-Z]+$. |",
        '"state": "off"',
    ):
        assert part in found


def test_descriptions_are_markdown_below_the_heading_that_they_explain() -> None:
    page = read(SHOP)
    assert "## Getting started\n\nAsk for a *key*.\n\n```bash\n# not a heading\ncurl" in page.markdown
    assert page.anchors.get("Tea Shop › Getting started") is None


def test_headings_in_the_description_of_a_body_move_no_anchor() -> None:
    schema = {"type": "object", "description": "Body.\n\n# Inner\n\nWords.", "maxProperties": 3}
    server = {"url": "/", "description": "Main\n\n# server"}
    posted = {
        "summary": "Add\n\n# it",
        "requestBody": {"content": {"text/plain": {"schema": schema}}},
        "externalDocs": {"description": "# More"},
    }
    paths = {"/a": {"post": posted}, "/b": {"get": {}}}
    page = read({"openapi": "3.0.0", "info": {"title": "T"}, "servers": [server], "paths": paths})
    assert "Body.\n\n##### Inner\n\nWords.\n\nmaxProperties: 3." in page.markdown
    assert page.anchors == {
        "T": "/info",
        "T › Operations": "/tags",
        "T › Operations › POST /a": "/paths/~1a/post",
        "T › Operations › GET /b": "/paths/~1b/get",
    }


def test_tags_without_a_name_leave_no_empty_heading() -> None:
    paths = {"/a": {"get": {"tags": [""]}}, "/b": {"get": {"tags": [" \0", "x"]}}}
    tags = [{"name": "", "description": "About all."}]
    page = read({"openapi": "3.0.0", "info": {"title": " "}, "tags": tags, "paths": paths})
    assert page.markdown.startswith("# shop.yaml\n\n## Operations\n\nAbout all.\n\n### `GET /a`\n\n### `GET /b`")
    assert page.anchors["shop.yaml › Operations › GET /b"] == "/paths/~1b/get"


def test_repeated_notes_are_bounded_and_what_is_left_out_is_counted() -> None:
    notes = {"Big": {"name": "big", "in": "query", "description": "word " * 20_000}}
    answers = {"Big": {"description": "said " * 20_000}}
    paths = {
        f"/p{n}": {
            "get": {
                "description": f"Own{n} {'own ' * 100}",
                "parameters": [{"$ref": "#/components/parameters/Big", "summary": f"{n}"}],
                "responses": {"200": {"$ref": "#/components/responses/Big"}},
            }
        }
        for n in range(200)
    }
    components = {"parameters": notes, "responses": answers}
    page = read({"openapi": "3.0.0", "info": {"title": "T"}, "components": components, "paths": paths})
    assert len(page.markdown) < 5_000_000
    assert not lost_words(" ".join(f"Own{n}" for n in range(200)), page.markdown)
    assert page.markdown.count("word word") and page.markdown.count("said said")
    assert [each.rule for each in page.dropped] == ["repetitions"]
    assert page.anchors["T › Operations › GET /p199"] == "/paths/~1p199/get"


def test_rows_that_are_repeated_without_end_are_left_out_with_a_remark_and_move_no_anchor() -> None:
    rows = "".join(f"  - {{name: n{n}, in: query, description: {'d' * 150}}}\n" for n in range(1000))
    called = 'callbacks: {c: {u: {post: {description: "a\\n\\n# H"}}}}'
    paths = "".join(f"  /p{n}: {{parameters: *x, get: {{summary: s{n}, {called}}}}}\n" for n in range(500))
    page = read(f"{HEAD}x: &x\n{rows}paths:\n{paths}")
    assert len(page.markdown) < 15_000_000
    assert not lost_words(" ".join(f"s{n}" for n in range(500)), page.markdown)
    assert page.anchors["T › Operations › GET /p499"] == "/paths/~1p499/get"
    assert page.markdown.count("*More is left out here") > 100
    assert page.dropped[0].rule == "repetitions"


def test_models_servers_and_ways_in_are_shown() -> None:
    markdown = read(SHOP).markdown
    assert "- https://{region}.tea.example/v1 Production\n  - {region}: Where tea is kept" in markdown
    assert "**key**\n\nSent with each call\n\n- type: apiKey\n- in: header\n- name: X-Key" in markdown
    assert "string\n\nHow it is made\n\nenum: green, black." in section(markdown, "### Kind")
    assert section(markdown, "### Blend").strip().startswith("Tea and object")
    assert "| `parts` | array of Tea |  |  |" in section(markdown, "### Blend")
    assert "Tea or string" in section(markdown, "### Either")


def words_of(value: Any, key: str = "") -> str:
    """Return the words in all values of a document, without references and extensions."""
    if isinstance(value, dict):
        return " ".join(words_of(part, str(name)) for name, part in value.items() if str(name) != "$ref")
    if isinstance(value, list):
        return " ".join(words_of(part, key) for part in value)
    return "" if key in ("tags", "format", "required") else str(value)


def test_no_word_is_lost_but_those_of_extensions_which_are_counted() -> None:
    page = read(SHOP)
    document = yaml.load(SHOP, Loader=yaml.BaseLoader)  # noqa: S506 (all words as they are written)
    visible = set(words_of(document).replace("secret.png", "").replace("3.0.3", "").split())
    assert not lost_words(" ".join(sorted(visible - {"true", "^[A-Z]+$"})), page.markdown)
    assert [(each.rule, each.words) for each in page.dropped] == [("vendor extension", 1)]


def model(schema: str) -> str:
    return f"components: {{schemas: {{M: {schema}}}}}"


def operation(parts: str, others: str = "") -> str:
    return f"paths: {{/a: {{{others} get: {{{parts}}}}}}}"


@pytest.mark.parametrize(
    ("part", "shown"),
    [
        ("info: {title: T, summary: All about tea}", "All about tea"),
        ("info: {title: T, contact: {name: Ann, email: ann@tea.example}}", "Contact: Ann ann@tea.example"),
        ("info: {title: T, license: {name: MIT}}", "License: MIT"),
        ("info: {title: T, termsOfService: https://tea.example/terms}", "Terms of service: https://tea.example/terms"),
        ("externalDocs: {description: The book, url: https://tea.example}", "The book https://tea.example"),
        ("tags: [{name: Teas, externalDocs: {description: More of teas}}]", "## Teas\n\nMore of teas"),
        (operation("", "summary: Of both,"), "### `GET /a`\n\nOf both"),
        (operation("tags: [x, y, z]"), "Also under: y, z"),
        (operation("externalDocs: {description: Read on}"), "Read on"),
        (operation("security: [{key: [], own: []}]"), "Authentication: key and own"),
        (
            operation("parameters: [{name: n, in: query, description: own}]", "parameters: [{name: n, in: query}],"),
            "--- |\n| `n` | query | any |  | own. |",
        ),
        (
            operation("parameters: [{name: f, in: query, content: {a/b: {schema: {type: object, title: Sieve}}}}]"),
            "| `f` | query | object |  | Sieve. |",
        ),
        (operation("requestBody: {content: {a/b: {schema: {type: string, description: A note}}}}"), "A note"),
        (
            operation("responses: {200: {description: Yes, links: {next: {operationId: more, description: On}}}}"),
            "Link next: more On",
        ),
        (model("{type: string, example: sencha}"), "Example:\n\n```\nsencha\n```"),
        (model("{type: string, examples: [sencha]}"), "Example:\n\n```\nsencha\n```"),
        (model("{anyOf: [{type: string}, {type: integer}]}"), "string or integer"),
        (model("{oneOf: [{properties: {o: {type: string}}}]}"), "| `o` | string |"),
        (model("{additionalProperties: {properties: {k: {type: string}}}}"), "| `*.k` | string |"),
        (
            model("{properties: {l: {type: object, additionalProperties: {type: integer}}}}"),
            "object with values of int",
        ),
        (model("{properties: {l: {type: array, items: {type: string, description: leaf}}}}"), "Items: leaf."),
        (model("{properties: {p: {examples: [one, two], title: Maker}}}"), "Maker. Example: one. Example: two."),
        (model("{properties: {p: {default: 010}}}"), "default: 010."),
        (model("{properties: {p: {maximum: 9223372036854775807}}}"), "maximum: 9223372036854775807."),
        (model("{properties: {p: {maximum: 2e3}}}"), "maximum: 2000.0."),
    ],
)
def test_what_each_part_says_is_shown(part: str, shown: str) -> None:
    info = "" if part.startswith("info") else "info: {title: T}\n"
    assert shown in read(f"openapi: 3.1.0\n{info}{part}\n").markdown


@pytest.mark.parametrize(
    "reference",
    [
        "$ref: '#/paths/~1teas~1{id}/get/parameters/0'",
        "$ref: '#/paths/~1teas~1%7Bid%7D/get/parameters/0'",
        "$ref: '#/paths/~1teas~1{id}/get/responses/200'",
        "$ref: '#/components/parameters/Bare', description: Leaf by leaf",
        "$ref: 'other.yaml#/Leaf', name: leaf, description: Leaf by leaf",
    ],
)
def test_references_lead_into_paths_lists_and_numbers_and_may_be_described_anew(reference: str) -> None:
    leaf = "{name: leaf, in: query, description: Leaf by leaf}"
    referred = f"  /teas/{{id}}: {{get: {{parameters: [{leaf}], responses: {{200: {leaf}}}}}}}\n"
    asking = f"  /asking: {{get: {{parameters: [{{{reference}}}]}}}}\n"
    bare = "components: {parameters: {Bare: {name: leaf, in: query, description: Bare}}}\n"
    found = read(f"{HEAD}paths:\n{asking}{referred}{bare}").markdown
    assert "Leaf by leaf" in section(found, "### `GET /asking`")


def test_version_2_is_read_alike() -> None:
    page = read(
        {
            "swagger": "2.0",
            "info": {"title": "Old shop", "version": "1"},
            "host": "tea.example",
            "basePath": "/v1",
            "schemes": ["https"],
            "paths": {
                "/teas": {
                    "post": {
                        "summary": "Add",
                        "parameters": [
                            {"name": "tea", "in": "body", "required": True, "schema": {"$ref": "#/definitions/Tea"}},
                            {"name": "limit", "in": "query", "type": "integer", "maximum": 9, "description": "At most"},
                        ],
                        "responses": {
                            "200": {
                                "description": "Added",
                                "schema": {"type": "array", "items": {"$ref": "#/definitions/Tea"}},
                                "examples": {"application/json": [{"name": "Assam"}]},
                            }
                        },
                    }
                }
            },
            "definitions": {"Tea": {"properties": {"name": {"type": "string", "x-nullable": True}}}},
        }
    )
    found = section(page.markdown, "### `POST /teas`")
    for part in ("| `limit` | query | integer |  | At most. maximum: 9. |", "| `name` | string |", '"name": "Assam"'):
        assert part in found
    assert "array of Tea" in found and "tea.example/v1 https" in page.markdown
    assert page.anchors["Old shop › Models › Tea"] == "/definitions/Tea"


def test_webhooks_callbacks_and_types_of_version_3_1_are_read() -> None:
    operation = {
        "summary": "Told",
        "requestBody": {"content": {"text/plain": {"schema": {"type": ["string", "null"]}}}},
    }
    paths = {"/subscribe": {"post": {"callbacks": {"done": {"{$url}": {"post": {"summary": "Called back"}}}}}}}
    page = read(
        {"openapi": "3.1.0", "info": {"title": "T"}, "webhooks": {"brewed": {"post": operation}}, "paths": paths}
    )
    assert "string or null" in section(page.markdown, "### `POST brewed`")
    assert "Called back" in section(page.markdown, "#### Callback done: `POST {$url}`")


@pytest.mark.parametrize(
    "text",
    [
        "name: package\n",
        '{"name": "package"}',
        "[1, 2]",
        "just words",
        "openapi: 4.0.0\n",
        "openapi: [3]\n",
        "openapi: '3'",
    ],
)
def test_another_document_is_refused_with_what_to_do(text: str) -> None:
    with pytest.raises(UnsupportedContent, match=r"shop\.yaml is no OpenAPI document of version 2\.0 or 3.*exclude it"):
        read(text)


@pytest.mark.parametrize(
    "text", ["openapi: 3.0.0\n\tx: [", '{"openapi": "3.0.0"', "a: !!python/object:os.system x", "? : :\n*x"]
)
def test_a_text_that_cannot_be_parsed_is_refused(text: str) -> None:
    with pytest.raises(UnsupportedContent, match=r"shop\.yaml is no (?:readable YAML or JSON|OpenAPI)"):
        read(text)


@pytest.mark.parametrize(
    "reference", ["other.yaml#/Tea", "https://e.example/x#/Tea", "#/nowhere", "#/paths/~1a", "#", "#/info/title"]
)
def test_references_out_of_the_document_or_to_nowhere_are_not_followed(reference: str) -> None:
    page = read(
        {"openapi": "3.0.0", "info": {"title": "T"}, "paths": {"/a": {"get": {"parameters": [{"$ref": reference}]}}}}
    )
    assert "GET /a" in page.markdown


def test_a_malformed_way_in_and_a_version_of_zero_are_shown_as_they_are() -> None:
    ways = "paths: {/a: {get: {security: [{key: true}, {own: read}, {all: [b, c]}]}}}\n"
    page = read(HEAD.replace("T}", "T, version: 0}") + ways)
    assert page.markdown.startswith("# T\n\nVersion: 0\n")
    assert "Authentication: key or own or all (b, c)" in page.markdown


def test_references_in_circles_end() -> None:
    schemas = {"A": {"$ref": "#/components/schemas/B"}, "B": {"$ref": "#/components/schemas/A"}}
    schemas["C"] = {"properties": {"c": {"allOf": [{"$ref": "#/components/schemas/C"}]}}}  # type: ignore[dict-item]
    assert "### C" in read({"openapi": "3.0.0", "info": {"title": "T"}, "components": {"schemas": schemas}}).markdown


# --- Hostile ----------------------------------------------------------------------------------------------

HEAD = "openapi: 3.0.0\ninfo: {title: T}\n"
LAUGHS = "a0: &a0 {type: string}\n" + "".join(
    f"a{n}: &a{n} {{allOf: [{', '.join([f'*a{n - 1}'] * 10)}]}}\n" for n in range(1, 12)
)
VALUES = "a0: &a0 lol\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12))
MERGES = "a0: &a0 {k: v}\n" + "".join(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}\n" for n in range(1, 12))
LOOP = "a: &a {properties: {x: *a}, items: *a, allOf: [*a, *a]}\n"


@pytest.mark.parametrize(
    "text",
    [
        f"{HEAD}{LAUGHS}components: {{schemas: {{X: *a11}}}}\n",
        f"{HEAD}{VALUES}components: {{schemas: {{X: {{example: *a11, default: *a11}}}}}}\n",
        f"{HEAD}{MERGES}",
        f"{HEAD}{LOOP}components: {{schemas: {{X: *a}}}}\n",
        f"{HEAD}x: &x {{<<: *x}}\n",
        HEAD + "x: " + "[" * 100_000,
        HEAD + "x:\n" + "".join(" " * n + "x:\n" for n in range(1, 1500)),
        '{"openapi": "3.0.0", "x": ' + "[" * 100_000,
        HEAD
        + "components:\n  schemas:\n"
        + "".join(f"    S{n}: {{properties: {{p: {{type: string}}}}}}\n" for n in range(9000)),
        HEAD + "paths:\n" + "".join(f"  /p{n}: {{get: {{description: 'One *word*.'}}}}\n" for n in range(9000)),
        HEAD + "x-a: " + "9" * 1_000_000,
        HEAD
        + "components: {schemas: {X: {properties: {"
        + ", ".join(f"p{n}: {{$ref: '#/components/schemas/X'}}" for n in range(9000))
        + "}}}}",
    ],
    ids=["laughs", "values", "merges", "loop", "self", "flow", "deep", "json", "schemas", "paths", "digits", "wide"],
)
def test_a_hostile_document_ends_in_time_and_bounds(text: str) -> None:
    started = spent()
    try:
        assert len(read(text).markdown) < 20_000_000
    except UnsupportedContent as error:
        assert "shop.yaml" in str(error)  # noqa: PT017 (both are right)
    assert spent() - started < 30


def test_titles_and_addresses_of_parts_have_no_characters_that_no_database_takes() -> None:
    info = {"title": "Tea\0 Shop\ud83d", "version": "1"}
    document = {"openapi": "3.0.3", "info": info, "paths": {"/teas\0\ud83d": {"get": {"summary": "Find"}}}}
    found = extract(Page("https://tea.example/api.json", json.dumps(document).encode(), "application/json"))
    assert found.title == "Tea Shop"
    assert found.anchors["Tea Shop › Operations › GET /teas"] == "/paths/~1teas/get"
