"""docker/k8s as kustomize renders it: valid by Kubernetes' own schemas, and what the images and the code need."""

from __future__ import annotations

import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.conf import settings as project

from ingestion.pipeline.embed.embed_waiting import SUSPECT_SECONDS, TIME_SLICE_SECONDS
from ragproject.embedded import services
from ragproject.settings import env
from tests.test_packaging import dockerfile_commands

FOLDER = Path(__file__).resolve().parent.parent / "docker" / "k8s"
# The oldest and the newest version that its users may have.
VERSIONS = ["1.30", "1.35"]
WORKERS = ["cpu-worker", "index-worker", "gpu-worker"]
PROGRAMS = [*WORKERS, "web", "beat"]

pytestmark = pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl renders the manifests")

Manifest = dict[str, Any]


@cache
def rendered() -> list[Manifest]:
    command = ["kubectl", "kustomize", str(FOLDER)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def of_kind(kind: str) -> dict[str, Manifest]:
    return {each["metadata"]["name"]: each for each in rendered() if each["kind"] == kind}


def pod(name: str) -> Manifest:
    found: Manifest = (of_kind("Deployment") | of_kind("Job"))[name]["spec"]["template"]["spec"]
    return found


def container(name: str) -> Manifest:
    [found] = pod(name)["containers"]
    return dict(found)


def trigger(name: str) -> Manifest:
    [found] = of_kind("ScaledObject")[name]["spec"]["triggers"]
    return dict(found["metadata"])


def lines(file: str) -> dict[str, str]:
    text = (FOLDER / file).read_text().splitlines()
    return dict(line.split("=", 1) for line in text if line and not line.startswith("#"))


def validate(manifest: Manifest, version: str) -> None:
    import kubernetes_validate  # takes 1.6 s, which the other tests' processes need not

    try:
        kubernetes_validate.validate(manifest, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        raise ValueError(error.message) from error


@pytest.mark.parametrize("version", VERSIONS)
def test_it_is_valid_by_kubernetes_schemas_without_unknown_fields(version: str) -> None:
    of_others = [each for each in rendered() if "." in each["apiVersion"].partition("/")[0].replace(".k8s.io", "")]
    assert {each["kind"] for each in of_others} == {"ScaledObject"}
    for manifest in rendered():
        if manifest not in of_others:
            validate(manifest, version)


def test_the_validator_sees_a_wrong_field() -> None:
    wrong = {**of_kind("Service")["web"], "spec": {"portz": []}}
    with pytest.raises(ValueError, match="portz"):
        validate(wrong, VERSIONS[-1])


@pytest.mark.parametrize("name", [*PROGRAMS, "migrate"])
def test_no_pod_has_rights_that_it_does_not_need(name: str) -> None:
    of_pod, all_containers = pod(name), [*pod(name).get("initContainers", []), container(name)]
    assert of_pod["securityContext"]["runAsNonRoot"] and not of_pod["automountServiceAccountToken"]
    assert of_pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for each in all_containers:
        context = each["securityContext"]
        assert context["readOnlyRootFilesystem"] and not context["allowPrivilegeEscalation"]
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert each["resources"]["requests"].keys() == {"cpu", "memory"} and "memory" in each["resources"]["limits"]
        settings, secrets = each["envFrom"]
        assert settings["configMapRef"]["name"].startswith("ragproject-settings-")
        assert secrets["secretRef"]["name"] == "ragproject-secrets"


def test_it_sets_only_variables_that_the_settings_read() -> None:
    named, secrets = lines("settings.env").keys(), lines("secrets.example.env").keys()
    assert named | secrets <= env.settings.keys()
    assert not named & secrets
    assert not [name for name in named if env.settings[name].secret]


def test_the_pods_run_the_commands_of_the_embedded_stack(settings: Any) -> None:
    settings.LOG_LEVEL, settings.WEB_HOST, settings.WEB_PORT = "INFO", "0.0.0.0", 8000
    assert container("cpu-worker")["command"] == ["celery", *services.cpu_worker(4).command[3:]]
    assert container("index-worker")["command"] == ["celery", *services.index_worker().command[3:]]
    assert container("gpu-worker")["command"] == ["celery", *services.gpu_worker().command[3:]]
    assert container("beat")["command"] == ["celery", *services.beat().command[3:]]
    assert container("web")["command"] == list(services.web().command[2:])


def test_the_pods_run_images_that_the_dockerfile_builds() -> None:
    images = {
        each["image"].rpartition("/")[2].partition(":")[0] for name in PROGRAMS for each in pod(name)["containers"]
    }
    assert {image.removeprefix("ragproject-") for image in images} == dockerfile_commands().keys()


def test_a_gpu_worker_has_one_gpu_and_time_to_end_its_slice() -> None:
    assert container("gpu-worker")["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert pod("gpu-worker")["terminationGracePeriodSeconds"] >= TIME_SLICE_SECONDS + SUSPECT_SECONDS


def test_other_workers_have_time_to_hand_back_their_work() -> None:
    for name in WORKERS:
        assert pod(name)["terminationGracePeriodSeconds"] >= project.CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT + 10


def test_beat_runs_once() -> None:
    spec = of_kind("Deployment")["beat"]["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})


def test_gpu_workers_come_and_go_by_our_own_gauge_and_the_last_one_can_come() -> None:
    """Fetching pauses at MAX_CHUNKS_WAITING: a worker that needs more to wait would never be started."""
    scaled = of_kind("ScaledObject")["gpu-worker"]["spec"]
    assert (scaled["minReplicaCount"], trigger("gpu-worker")["activationThreshold"]) == (0, "0")
    assert "ragproject_embed_backlog_chunks" in trigger("gpu-worker")["query"]
    most = int(lines("settings.env")["MAX_CHUNKS_WAITING"])
    assert int(trigger("gpu-worker")["threshold"]) * scaled["maxReplicaCount"] <= most


def test_cpu_workers_come_by_the_documents_in_flight_and_the_last_one_can_come() -> None:
    scaled = of_kind("ScaledObject")["cpu-worker"]["spec"]
    most = int(lines("settings.env")["MAX_DOCUMENTS_IN_FLIGHT"])
    assert int(trigger("cpu-worker")["threshold"]) * scaled["maxReplicaCount"] <= most


def test_what_scales_by_itself_has_no_number_that_an_update_would_set_back() -> None:
    assert all("replicas" not in of_kind("Deployment")[name]["spec"] for name in ("web", "cpu-worker", "gpu-worker"))


def test_every_program_but_the_site_is_alive_while_it_touches_its_file() -> None:
    for name in [*WORKERS, "beat"]:
        assert "HEARTBEAT_FILE" in container(name)["livenessProbe"]["exec"]["command"][2]
    probes = {
        kind: container("web")[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "liveness", "readiness")
    }
    assert probes == {"startup": "/healthz", "liveness": "/healthz", "readiness": "/readyz"}


def test_the_sites_probes_are_let_in_by_the_settings() -> None:
    hosts = lines("settings.env")["ALLOWED_HOSTS"].split(",")
    headers = {each["name"]: each["value"] for each in container("web")["readinessProbe"]["httpGet"]["httpHeaders"]}
    assert headers["Host"] in hosts and headers["X-Forwarded-Proto"] == "https"


def test_prometheus_is_let_in_where_the_readme_says_that_it_scrapes() -> None:
    found = re.search(r"Prometheus scrapes `([^:`]+):8000/metrics`", (FOLDER / "README.md").read_text())
    assert found and found[1] in lines("settings.env")["ALLOWED_HOSTS"].split(",")


def test_only_the_crawler_and_the_site_reach_what_is_outside_and_neither_private_networks() -> None:
    policies = of_kind("NetworkPolicy")
    assert (
        policies["closed"]["spec"]
        == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]} | policies["closed"]["spec"]
    )
    assert not {"ingress", "egress"} & policies["closed"]["spec"].keys()
    blocks = {
        name: [to["ipBlock"] for rule in policy["spec"].get("egress", []) for to in rule["to"] if "ipBlock" in to]
        for name, policy in policies.items()
    }
    assert {name for name, found in blocks.items() if found} == {"web", "cpu-worker"}
    for block in [*blocks["web"], *blocks["cpu-worker"]]:
        private = {"10.0.0.0/8", "169.254.0.0/16"} if block["cidr"] == "0.0.0.0/0" else {"fc00::/7", "fe80::/10"}
        assert private <= set(block["except"])


def test_who_asks_the_language_model_reaches_its_namespace() -> None:
    label = {"namespaceSelector": {"matchLabels": {"ragproject.io/llm": "true"}}}
    policies = of_kind("NetworkPolicy").items()
    reach = {name for name, p in policies if any(label in rule["to"] for rule in p["spec"].get("egress", []))}
    assert reach == {"web", "cpu-worker"}


def test_milvus_is_the_release_of_compose() -> None:
    milvus = yaml.safe_load((FOLDER / "milvus.yaml").read_text())
    compose = yaml.safe_load((FOLDER.parent.parent / "compose.yaml").read_text())
    assert milvus["spec"]["components"]["image"] == compose["services"]["milvus"]["image"]
    assert milvus["spec"]["config"]["common"]["security"]["authorizationEnabled"]
