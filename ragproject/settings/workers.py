"""Celery: a queue for each kind of worker, priorities, what a lost connection means, and Beat's schedule."""

from __future__ import annotations

from typing import Any

from environs import validate
from kombu import Queue

from ragproject.settings.indexing import AUDIT_LOOK_SECONDS, DISPATCH_SECONDS, EMBEDDINGS_FLUSH_SECONDS
from ragproject.settings.locations import REDIS_URL, broker_url, env

env.begin("workers")
CPU_WORKERS = env.integer("CPU_WORKERS", 2, "Processes that fetch and cut.", validate=validate.Range(1, 256))
CELERY_BROKER_URL = broker_url(REDIS_URL)
# A restart of Redis takes seconds, and an upgrade of its machine minutes.
REDIS_PATIENCE_SECONDS = env.number(
    "REDIS_PATIENCE_SECONDS",
    600.0,
    "A worker that has no connection to Redis for so long ends; its supervisor starts a new one.",
    validate=validate.Range(10),
)
HEARTBEAT_FILE = env.text(
    "HEARTBEAT_FILE", "", "File that a worker and Beat touch every 10 s while they live; the images set it."
)
# The drain has a process of its own. Milvus' client and a batch of vectors take 38 MB, which every CPU worker (106 MB)
# would need otherwise, and a drain that waits behind slow pages would make the embedder wait.
CELERY_TASK_QUEUES = [Queue("cpu"), Queue("gpu"), Queue("index")]
CELERY_TASK_DEFAULT_QUEUE = "cpu"
CELERY_TASK_ROUTES = {
    "ingestion.tasks.embed": {"queue": "gpu"},
    "ingestion.tasks.drain": {"queue": "index"},
    "ingestion.tasks.fill": {"queue": "index"},
    "ingestion.tasks.audit": {"queue": "index"},
}
# Redis transport: 0 is served first. Beat's small jobs must not wait behind ten thousand pages.
PRIORITY_URGENT, PRIORITY_NORMAL = PRIORITY_STEPS = [0, 6]
CELERY_TASK_DEFAULT_PRIORITY = PRIORITY_NORMAL
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
# Messages with a countdown are held in memory; ours wait at most 10 s for a slot of a host, longer waits are rows.
CELERY_WORKER_ETA_TASK_LIMIT = 1000
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = True
CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT = 10.0
# Importing FlagEmbedding and loading or converting the model takes 7 s with the stand-in and up to a minute with
# BGE-M3 from a cold disk; Celery's default of 4 s would end every replacement child for ever.
CELERY_WORKER_PROC_ALIVE_TIMEOUT = 180.0
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
# A Redis that refuses writes (a full disk, a full memory) would end every worker each time it is started.
CELERY_BROKER_CHANNEL_ERROR_RETRY = True
CELERY_BROKER_POOL_ACQUIRE_TIMEOUT = 5
# More than twice as long as any task may run. Rows have leases, so nothing depends on this redelivery.
VISIBILITY_TIMEOUT_SECONDS = 3600
CELERY_VISIBILITY_TIMEOUT = VISIBILITY_TIMEOUT_SECONDS
CELERY_BROKER_TRANSPORT_OPTIONS: dict[str, Any] = {
    "visibility_timeout": VISIBILITY_TIMEOUT_SECONDS,
    "unacked_restore_interval": 5,
    "unacked_restore_throttle": 1,
    "unacked_mutex_expire": 30,
    "queue_order_strategy": "priority",
    "priority_steps": PRIORITY_STEPS,
    "socket_timeout": 30,
    "socket_connect_timeout": 5,
    "socket_keepalive": True,
    "health_check_interval": 15,
}
# Answers that are kept for days need not go to the minute.
FORGET_SECONDS = 900.0
CELERY_BEAT_SCHEDULER = "ragproject.beat:Scheduler"
CELERY_BEAT_SCHEDULE = {
    "dispatch": {
        "task": "ingestion.tasks.dispatch",
        "schedule": DISPATCH_SECONDS,
        "options": {"priority": PRIORITY_URGENT, "expires": max(DISPATCH_SECONDS, 5)},
    },
    # A person who is told within a quarter of a minute need not be told sooner.
    "notify": {
        "task": "ingestion.tasks.notify",
        "schedule": 15,
        "options": {"priority": PRIORITY_URGENT, "expires": 15},
    },
    "drain": {
        "task": "ingestion.tasks.drain",
        "schedule": EMBEDDINGS_FLUSH_SECONDS,
        "options": {"priority": PRIORITY_URGENT, "expires": max(EMBEDDINGS_FLUSH_SECONDS, 5)},
    },
    "fill": {
        "task": "ingestion.tasks.fill",
        "schedule": DISPATCH_SECONDS,
        "options": {"priority": PRIORITY_URGENT, "expires": max(DISPATCH_SECONDS, 5)},
    },
    "audit": {
        "task": "ingestion.tasks.audit",
        "schedule": AUDIT_LOOK_SECONDS,
        "options": {"priority": PRIORITY_URGENT, "expires": AUDIT_LOOK_SECONDS},
    },
    "forget": {
        "task": "search.tasks.forget_answers",
        "schedule": FORGET_SECONDS,
        "options": {"expires": FORGET_SECONDS},
    },
}
