"""Pages of each dialect, made of pieces at random: no word is lost, no syntax stays."""

from __future__ import annotations

import random
import re
from itertools import count
from textwrap import indent

import pytest

from ingestion.extraction.extract import extract
from ingestion.types import Page
from tests.support.words import lost_words

# Each @ becomes a word of its own.
COMMON = [
    "@ *@* **@ @** `@` ~~@~~ [@](b.md) [@ @](https://t.example/x) ![@](p.png)",
    "## @ @",
    "@\n===",
    "- @\n- @\n\n  @\n- [ ] @",
    "3. @\n   - @\n4. @",
    "> @\n> @",
    "```py\n@ <@> {{@}}\n```",
    "| @ | @ |\n|---|:-:|\n| @ | `@` |\n| @ | @ | @ |",
    "@ List<@> and <@> or Map<@, @>, a <@ and @>, 3 < @ > 2",
    "<details><summary>@</summary>\n\n@\n\n</details>",
    "<table>\n<tr><th>@</th><td rowspan=2>@</td></tr>\n<tr><td>@<br>@</td></tr>\n</table>",
    "<p align='center'>\n  <b>@</b> @<sup>@</sup>\n</p>",
    "@  \n@\\\n@ <kbd>@</kbd> <!-- x --> @",
]
PIECES = {
    "mkdocs": [
        '!!! note "@"\n    @\n\n    - @',
        "??? tip\n    @",
        '!!! note ""\n    @',
        '=== "@"\n\n    @\n\n=== "@"\n\n    ```sh\n    @\n    ```',
        "@ :material-x: [`@`][a.b] @{ .x }",
    ],
    "pymdownx": [
        "/// note | @\n@\n///",
        "/// details | @\n    open: true\n\n@\n\n///",
        "==@== ^^@^^ {++@++} {~~@~>@~~} {>>@<<}",
        "@\n: @\n: @",
        "@ $@$ @",
        "*[@]: @ @",
        "# @ {#x}",
    ],
    "mdx": [
        "<Tabs>\n<TabItem label='@'>\n\n@\n\n</TabItem>\n<TabItem value='@'>\n@\n</TabItem>\n</Tabs>",
        '<Card title="@" href="/x">\n  @\n</Card>',
        '<Param name="@" type="@" required>\n@ *@*\n</Param>',
        '@ <Badge text="@"/> @',
        "import X from 'x'\n\n@",
        '<Callout type="warning" title="@">@</Callout>',
        '<Row method={"@"} path={"@"} description="@ @" />',
        "@ {/* x */} @",
        "<>\n@\n</>",
    ],
    "docusaurus": [
        ":::note[@]\n\n@\n\n:::",
        ":::tip @ @\n@\n:::",
        "::::danger\n@\n:::info\n@\n:::\n::::",
        ":::odd\n@\n:::",
    ],
    "github": ["> [!NOTE]\n> @\n> - @", "> [!TIP] @\n> @", "@[^1] @\n\n[^1]: @\n\n    @", "[[@]] [[x|@]]"],
    "myst": [
        "```{note} @\n@\n```",
        "````{tip}\n:class: x\n@\n```{warning}\n@\n```\n````",
        ":::{admonition} @\n@\n:::",
        "```{code-block} py\n:linenos:\n@\n```",
        ":::{list-table} @\n* - @\n  - @\n* - @\n  - @\n:::",
        "(x)=\n## @",
        "{ref}`@ <x>` {term}`@` {py:class}`@`",
        ":::{figure} a.png\n@ @\n:::",
        "```{odd} @\n@\n```",
        '```{csv-table}\n@, @\n@, "@ @"\n```',
        "```{eval-rst}\n@ *@*\n```",
    ],
    "jekyll": [
        "{% if x %}@{% endif %} @",
        "{% highlight py %}\n@\n{% endhighlight %}",
        "{% include x.html content='@ @' %}",
    ],
    "hugo": [
        '{{< tabs >}}\n{{% tab name="@" %}}\n@\n{{% /tab %}}\n{{< /tabs >}}',
        '@ {{< tip text="@" >}} @',
        "{{< highlight go >}}\n@\n{{< /highlight >}}",
        '{{< figure src="x.png" caption="@ @" >}}',
        "{{% note %}}\n@\n{{% /note %}}",
        '[@]({{< ref "x.md" >}}) @',
        "{{< odd >}}\n@ *@*\n{{< /odd >}}",
        '## {{% heading "@" %}}',
    ],
    "gitbook": [
        '{% hint style="info" %}\n@\n{% endhint %}',
        '{% tabs %}\n{% tab title="@" %}\n@\n{% endtab %}\n{% endtabs %}',
        '{% code title="@" %}\n```js\n@\n```\n{% endcode %}',
        '{% swagger method="@" path="@" summary="@" %}\n@\n{% endswagger %}',
    ],
    "docfx": [
        "> [!NOTE]\n> @",
        ':::image source="x.png" alt-text="@ @":::',
        ':::row:::\n   :::column span="2":::\n      @\n   :::column-end:::\n:::row-end:::',
        "<xref:@> @",
        ':::zone pivot="x"\n\n@\n\n:::zone-end',
        '> [!div class="x"]\n> [@](b.md)',
    ],
    "vitepress": [
        "::: details @\n@\n:::",
        "::: code-group\n\n```js [@]\n@ // [!code --]\n```\n\n:::",
        "::: v-pre\n@\n:::",
    ],
    "quarto": [
        '::: {.callout-note title="@"}\n@\n:::',
        "```{r, echo=FALSE}\n#| label: x\n@\n```",
        ":::: {.columns}\n::: {.column}\n@\n:::\n::::",
        "```{python}\n#| fig-cap: @ @\n@\n```",
    ],
}
SYNTAX = re.compile(
    r":::|!!!|\?\?\?|===|///|\{%|\{\{[<%]|\[!|</?[A-Z]\w+[ />]|\]\((?!http)|^import |\{\w+\}`", re.MULTILINE
)
FENCE = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)


def page(dialect: str, seed: int) -> tuple[str, str]:
    """Return a page and its words."""
    choose = random.Random(f"{dialect} {seed}")
    pieces = [_nested(choose.choice([*COMMON, *PIECES[dialect], *PIECES[dialect]]), dialect, choose) for _ in range(12)]
    numbers = count(1)
    text = re.sub("@", lambda _: f"word{next(numbers)}", "\n\n".join(pieces))
    return text, " ".join(f"word{number}" for number in range(1, next(numbers)))


def _nested(piece: str, dialect: str, choose: random.Random) -> str:
    """Return the piece as it is, in a list, or in a note."""
    kind = choose.randrange(6)
    if kind == 0:
        return f"- @\n\n{indent(piece, '  ')}\n- @"
    if kind == 1 and dialect == "mkdocs":
        return f"!!! info\n{indent(piece, '    ')}"
    return f":::info\n\n{piece}\n\n:::" if kind == 1 and dialect == "docusaurus" else piece


@pytest.mark.parametrize("dialect", PIECES)
def test_words_in_are_words_out(dialect: str) -> None:
    url = f"https://docs.example/a.md{'x' * (dialect == 'mdx')}"
    for seed in range(60):
        text, words = page(dialect, seed)
        markdown = extract(Page(url, text.encode(), "text/markdown")).markdown
        assert not lost_words(words, markdown), text
        assert not SYNTAX.search(re.sub(r"`[^`\n]*`", "", FENCE.sub("", markdown))), (text, markdown)
