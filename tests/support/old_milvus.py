"""A real Milvus server of version 2.3 from the package ``milvus``: another implementation than Milvus Lite, with a
write-ahead log, growing segments and load states, and without sparse vectors.

All of it lies in one folder. It listens on every interface of the machine, which it cannot be told otherwise, with
ports chosen at its first start; it starts in 5-10 s and takes about 0.3 GB of memory, 0.9 GB with 20 000 rows of 1 024
dimensions. One at a time on a machine (it locks a file of its own).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import yaml

from tests.support.ports import free_ports


def prepare(folder: Path) -> str:
    """Unpack the server into the folder and write its configuration. Returns the URI that it will have."""
    import milvus  # type: ignore[import-untyped]

    settings = milvus.MilvusServerConfig(data_dir=str(folder))
    names = [name for name in settings.configurable_items if name.endswith("_port")]
    peers, metrics, *ports = free_ports(2 + len(names))
    for name, port in zip(names, ports, strict=True):
        settings.set(name, port)
    settings.resolve_storage()
    settings.write_config()
    milvus._initialize_data_files(str(folder))
    complete(folder, settings.get("etcd_port"), peers)
    (folder / "metrics_port").write_text(str(metrics))
    return f"http://127.0.0.1:{settings.get('proxy_port')}"


def complete(folder: Path, etcd_port: int, peer_port: int) -> None:
    """What the package's template of the configuration has no place for."""
    path, etcd = folder / "configs/milvus.yaml", folder / "configs/etcd.yaml"
    config = yaml.safe_load(path.read_text())
    config["etcd"]["config"] = {"path": str(etcd)}
    config["log"]["level"] = "warn"
    path.write_text(yaml.safe_dump(config))
    etcd.write_text(yaml.safe_dump(etcd_settings(folder, etcd_port, peer_port)))


def etcd_settings(folder: Path, clients: int, peers: int) -> dict[str, object]:
    client, peer = f"http://127.0.0.1:{clients}", f"http://127.0.0.1:{peers}"
    return {
        "name": "default",
        "data-dir": str(folder / "data/etcd.data"),
        "listen-client-urls": client,
        "advertise-client-urls": client,
        "listen-peer-urls": peer,
        "initial-advertise-peer-urls": peer,
        "initial-cluster": f"default={peer}",
        "log-level": "error",
        "log-outputs": [str(folder / "logs/etcd.log")],
    }


def main(folder: Path) -> None:
    """Become the server: its process is then the one that was started, to be stopped or killed by its id."""
    log = os.open(folder / "logs/server.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.chdir(folder)
    environment = {
        **os.environ,
        "LD_LIBRARY_PATH": str(folder / "bin"),
        "DEPLOY_MODE": "STANDALONE",
        "METRICS_PORT": (folder / "metrics_port").read_text(),
        "GOMEMLIMIT": "1GiB",
    }
    os.execve(folder / "bin/milvus", ["milvus", "run", "standalone"], environment)  # noqa: S606


if __name__ == "__main__":
    main(Path(sys.argv[1]))
