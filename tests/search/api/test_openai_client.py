"""/v1/ through OpenAI's own client, over real connections."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import openai
import pytest

from tests.conftest import wait_until
from tests.search.api.conftest import ProgramSites

pytestmark = pytest.mark.slow

QUESTION = "How do I create migrations after changing a model?"


@pytest.fixture
def client(site: ProgramSites) -> Iterator[openai.OpenAI]:
    with connected(site.generating, "none") as connection:
        yield connection


def connected(address: str, key: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{address}/v1", api_key=key, max_retries=0)


def test_it_lists_models(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["docs", "docs/Handbook", "docs/Site", "stand-in"]
    assert client.models.retrieve("docs/Site").owned_by == "ragproject"
    with pytest.raises(openai.NotFoundError, match="GET /v1/models lists those there are"):
        client.models.retrieve("gpt-4o")


def test_it_chats(client: openai.OpenAI, site: ProgramSites) -> None:
    got = client.chat.completions.create(model="docs", messages=[{"role": "user", "content": QUESTION}], temperature=0)
    message = got.choices[0].message
    assert message.content == f"Run makemigrations [[1]]({site.generating}/documents/911/#p0)."
    assert message.annotations
    cited = message.annotations[0].url_citation
    assert (cited.title, cited.url) == ("Migrations › Creating", f"{site.generating}/documents/911/#p0")
    assert got.usage
    assert got.usage.completion_tokens > 0


def test_it_streams(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(
        model="docs",
        messages=[{"role": "user", "content": QUESTION}],
        stream=True,
        stream_options={"include_usage": True},
    )
    *chunks, last = list(stream)
    texts = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices[0].delta.content]
    assert len(texts) > 1
    assert "".join(texts).startswith("Run makemigrations [[1]](")
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert last.usage
    assert last.usage.completion_tokens > 0


def test_a_follow_up_is_understood(site: ProgramSites) -> None:
    with connected(site.extracting, "none") as client:
        got = client.chat.completions.create(
            model="docs/Handbook",
            messages=[
                {"role": "user", "content": "How do I create migrations?"},
                {"role": "assistant", "content": "Run makemigrations [1]."},
                {"role": "user", "content": "How is it reversed?"},
            ],
        )
    assert "A migration is reversed by migrating to the one before it." in str(got.choices[0].message.content)


def test_it_embeds(client: openai.OpenAI) -> None:
    """The client asks for base64 by itself and decodes it."""
    got = client.embeddings.create(model="stand-in", input=["migrations", "zebra"])
    assert len(got.data) == 2
    assert sum(value * value for value in got.data[0].embedding) == pytest.approx(1, abs=1e-3)
    floats = client.embeddings.create(model="stand-in", input="migrations", encoding_format="float")
    assert floats.data[0].embedding == pytest.approx(got.data[0].embedding, abs=1e-6)
    with pytest.raises(openai.BadRequestError, match="Token ids of another tokenizer"):
        client.embeddings.create(model="stand-in", input=[1, 2, 3])


def test_keys_are_refused_in_a_way_the_client_knows(site: ProgramSites) -> None:
    wrong, nobody = connected(site.generating, "rag_00000000_wrong"), connected(site.closed, "none")
    with wrong, pytest.raises(openai.AuthenticationError, match="unknown, expired or revoked"):
        wrong.models.list()
    with nobody, pytest.raises(openai.AuthenticationError, match="Authorization: Bearer"):
        nobody.models.list()
    with connected(site.closed, site.keys["searching"]) as searching:
        assert searching.embeddings.create(model="stand-in", input="x").data
        with pytest.raises(openai.PermissionDeniedError, match="scope “ask”"):
            searching.chat.completions.create(model="docs", messages=[{"role": "user", "content": QUESTION}])


def test_an_error_within_the_stream_is_raised(client: openai.OpenAI, site: ProgramSites) -> None:
    site.model.behaviour = "garbage"
    stream = client.chat.completions.create(model="docs", messages=[{"role": "user", "content": QUESTION}], stream=True)
    with pytest.raises(openai.APIError, match="did not finish its answer"):
        list(stream)


def test_a_client_that_hangs_up_stops_the_language_model(client: openai.OpenAI, site: ProgramSites) -> None:
    site.model.behaviour = "endless"
    stream = client.chat.completions.create(model="docs", messages=[{"role": "user", "content": QUESTION}], stream=True)
    next(chunk for chunk in stream if chunk.choices[0].delta.content)
    assert not site.model.hung_up.is_set()
    stream.close()
    assert site.model.hung_up.wait(300)


async def test_a_client_that_waits_for_the_whole_answer_may_hang_up_too(site: ProgramSites) -> None:
    site.model.behaviour = "endless"
    async with openai.AsyncOpenAI(base_url=f"{site.generating}/v1", api_key="none", max_retries=0) as client:
        asked = client.chat.completions.create(model="docs", messages=[{"role": "user", "content": QUESTION}])
        asking = asyncio.create_task(asked)
        await asyncio.to_thread(wait_until, lambda: site.model.requests)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert await asyncio.to_thread(site.model.hung_up.wait, 300)
