"""A dimension and the settings -> a new collection in Milvus, and what a search and a load of it are asked with.

Shards and the index are those of the time when the collection was made; a later change of the settings counts for the
next one. Milvus Lite has one shard, no replicas, and the indexes FLAT and IVF_FLAT. Sources have no partitions of their
own: with the source as partition key Milvus 2.3.5 finds none of a source's upserted rows in a search of that source.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from django.conf import settings

from ingestion.exceptions import PermanentError
from ingestion.vector_store.client import failures, is_unavailable, library, reason_of
from ingestion.vector_store.index_kinds import KINDS
from ingestion.vector_store.rows import HEADING_BYTES, TEXT_BYTES, TITLE_BYTES, URL_BYTES

if TYPE_CHECKING:
    from pymilvus import MilvusClient

METRIC = "IP"
# What every request rests on; collections of earlier versions have them too.
FIELDS = ("key", "source_id", "document_id", "dense")


def create(client: MilvusClient, name: str, dimension: int, channels: Sequence[str], seconds: float) -> None:
    """Create a collection with these channels, of which the first is the dense one."""
    kinds = library().DataType
    schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("key", kinds.VARCHAR, is_primary=True, max_length=32)
    schema.add_field("source_id", kinds.INT64)
    schema.add_field("document_id", kinds.INT64)
    schema.add_field("position", kinds.INT64)
    for field, size in (("url", URL_BYTES), ("title", TITLE_BYTES), ("heading", HEADING_BYTES)):
        schema.add_field(field, kinds.VARCHAR, max_length=size)
    schema.add_field("text", kinds.VARCHAR, max_length=TEXT_BYTES)
    schema.add_field("dense", kinds.FLOAT_VECTOR, dim=dimension)
    for channel in channels[1:]:
        schema.add_field(channel, kinds.SPARSE_FLOAT_VECTOR)
    client.create_collection(name, schema=schema, num_shards=settings.MILVUS_SHARDS, timeout=seconds)


def index(client: MilvusClient, name: str, channels: Iterable[str], seconds: float) -> None:
    """Index the channels that have no index yet, as those of a collection whose making was interrupted.

    Raises PermanentError where Milvus refuses the kind of index that the settings name.
    """
    wanted = client.prepare_index_params()
    for channel in channels:
        if client.list_indexes(name, field_name=channel, timeout=seconds):
            continue
        if channel == "dense":
            wanted.add_index(channel, index_type=settings.MILVUS_INDEX, metric_type=METRIC, params=build_params())
        else:
            wanted.add_index(channel, index_type="SPARSE_INVERTED_INDEX", metric_type=METRIC)
    if not wanted:
        return
    try:
        client.create_index(name, wanted, timeout=seconds)
    except failures() as error:
        if is_unavailable(error):
            raise
        raise PermanentError(
            f"Milvus does not make the index that MILVUS_INDEX={settings.MILVUS_INDEX} and MILVUS_INDEX_PARAMS ask "
            f"for: {reason_of(error)}. Set them to what it has and restart; vectors wait in Redis until then."
        ) from error


def misfit(description: Mapping[str, Any], dimension: int) -> str:
    """Return in what a collection, as Milvus describes it, is not one that ``create`` makes; empty where it is one."""
    fields = {field["name"]: field for field in description["fields"]}
    if missing := [name for name in FIELDS if name not in fields]:
        return f"it has no field {missing[0]}"
    length = int(fields["dense"]["params"]["dim"])
    return f"its vectors have {length} numbers and the model's {dimension}" if length != dimension else ""


def load(client: MilvusClient, name: str, seconds: float) -> None:
    """Have Milvus load a collection into the memory of its query nodes, in MILVUS_REPLICAS copies."""
    more = {"replica_number": settings.MILVUS_REPLICAS} if settings.MILVUS_REPLICAS > 1 else {}
    client.load_collection(name, timeout=seconds, **more)


def build_params() -> dict[str, Any]:
    """Return the parameters that the index of dense vectors is built with."""
    return KINDS.get(settings.MILVUS_INDEX, ({}, {}))[0] | settings.MILVUS_INDEX_PARAMS


def search_params(channel: str) -> dict[str, Any]:
    """Return the parameters of a search in a channel: the metric and, for dense vectors, those of the index."""
    params = KINDS.get(settings.MILVUS_INDEX, ({}, {}))[1] | settings.MILVUS_SEARCH_PARAMS
    return {"metric_type": METRIC} | ({"params": params} if channel == "dense" and params else {})
