"""What the images are made of, read from their files: layers in order, packages as locked, nothing heavy, budgets."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from deploy.images.sizes import locked_names, over_budget, read_sizes
from deploy.images.targets import APART, LOCAL, ROOT, SERVICES

IMAGES = ROOT / "deploy" / "images"
HEAVY = {
    *("av", "boto3", "faiss-cpu", "grpcio", "kfp", "mlflow", "onnxruntime", "opentelemetry-sdk", "pandas", "pyarrow"),
    *("pymilvus", "scipy", "torch"),
}
"""Each weighs as much as all that a service needs."""
WANTED_EXTRAS = {"stt-module": {"light"}}


def _dockerfile() -> str:
    return (IMAGES / "Dockerfile").read_text("utf-8").replace("\\\n", " ")


def _stage(name: str) -> list[str]:
    """Return the instructions of a stage."""
    stages = re.split(r"^FROM ", _dockerfile(), flags=re.MULTILINE)
    found = [stage for stage in stages if re.match(rf"\S+ AS {re.escape(name)}\n", stage)]
    assert len(found) == 1, name
    return [line.strip() for line in found[0].splitlines()[1:] if line.strip() and not line.startswith("#")]


def _copied(stage: str) -> list[str]:
    return [found.group(1) for line in _stage(stage) if (found := re.match(r"COPY --from=(\S+)", line))]


def _lock(path: Path) -> dict[tuple[str, str], frozenset[str]]:
    """Return the hashes in a lock file by name and version."""
    found = re.findall(r"^([\w.-]+)==(\S+)[^\n]*((?:\n    --hash=\S+(?: \\)?)+)", path.read_text("utf-8"), re.MULTILINE)
    return {(name, version): frozenset(re.findall(r"sha256:\w+", hashes)) for name, version, hashes in found}


def _needed(name: str, extras: frozenset[str], seen: set[tuple[str, frozenset[str]]]) -> set[str]:
    """Return what a member of the workspace needs, through other members, as its project file says."""
    if (name, extras) in seen:
        return set()
    seen.add((name, extras))
    project = tomllib.loads((ROOT / name / "pyproject.toml").read_text("utf-8"))["project"]
    lines = [*project["dependencies"], *(one for extra in extras for one in project["optional-dependencies"][extra])]
    direct = set()
    for requirement in map(Requirement, lines):
        if (ROOT / requirement.name / "pyproject.toml").exists():
            direct |= _needed(requirement.name, frozenset(requirement.extras), seen)
        elif requirement.marker is None or requirement.marker.evaluate():
            direct.add(canonicalize_name(requirement.name))
    return direct


def _packages(service: str) -> set[str]:
    """Return the names of the packages in a service's image."""
    names = locked_names()
    return {*names["core"], *names.get(service, [])}


@pytest.mark.parametrize("service", SERVICES)
def test_layers_go_from_what_changes_seldom_to_what_changes_often(service: str) -> None:
    own = [f"{service}-packages"] if service in locked_names() else []
    assert _copied("runtime") == ["core-packages"]
    assert _copied(service) == [*own, "handler-base-source", f"{service}-source"]


@pytest.mark.parametrize("target", [*SERVICES, *APART, *LOCAL])
def test_an_image_starts_without_a_shell_and_tells_what_it_is(target: str) -> None:
    stage = _stage(target)
    module = target.replace("-", "_")
    entry = next(line for line in stage if line.startswith("ENTRYPOINT"))
    assert entry.startswith('ENTRYPOINT ["')
    assert target not in SERVICES or entry == f'ENTRYPOINT ["python3", "-m", "{module}"]'
    labels = " ".join(line for line in stage if line.startswith("LABEL"))
    for label in ("title", "description", "version", "revision"):
        assert f"org.opencontainers.image.{label}=" in labels


def test_images_run_as_a_numeric_user_who_is_not_root() -> None:
    assert "USER 65532:65532" in _stage("runtime")
    assert not re.findall(r"^USER (?!65532:65532$)", _dockerfile(), re.MULTILINE)


def test_no_step_needs_a_shell() -> None:
    steps = re.findall(r"^RUN ((?:--\S+\s+)*)(.*)", _dockerfile(), re.MULTILINE)
    assert steps
    assert [command for _, command in steps if not command.startswith("[")] == []


def test_base_images_are_pinned() -> None:
    pinned = dict(re.findall(r"^ARG (\w+_IMAGE)=(\S+)", _dockerfile(), re.MULTILINE))
    assert pinned.keys() == {"BASE_IMAGE", "BUILDER_IMAGE", "UV_IMAGE"}
    assert all(re.search(r":\d+\.\d+\.\d+", image) for image in pinned.values())
    assert re.findall(r"^FROM (?!\$\{\w+_IMAGE\}|builder |runtime |ingestion )", _dockerfile(), re.MULTILINE) == []
    locked = dict(_lock(ROOT / "requirements.lock").keys())
    assert pinned["UV_IMAGE"].endswith(f":{locked['uv']}")


def test_the_builder_has_the_python_of_the_base() -> None:
    bases = re.findall(r"^ARG (?:BASE|BUILDER)_IMAGE=\S+:(\d+\.\d+\.\d+)", _dockerfile(), re.MULTILINE)
    assert len(set(bases)) == 1
    assert f"PYTHON={bases[0].rpartition('.')[0]}\n" in (IMAGES / "runtime.sh").read_text("utf-8")


@pytest.mark.parametrize("lock", sorted(path.stem for path in (IMAGES / "requirements").glob("*.lock")))
def test_an_image_holds_the_versions_that_the_tests_run_with(lock: str) -> None:
    everything = _lock(ROOT / "requirements.lock")
    own = _lock(IMAGES / "requirements" / f"{lock}.lock")
    assert own
    assert {key: hashes for key, hashes in own.items() if everything.get(key) != hashes} == {}


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_has_what_its_service_needs(service: str) -> None:
    needed = _needed(service, frozenset(WANTED_EXTRAS.get(service, set())), set())
    assert {canonicalize_name(name) for name in needed} - _packages(service) == set()


@pytest.mark.parametrize("service", SERVICES)
def test_nothing_heavy_is_in_the_image_of_a_service(service: str) -> None:
    assert _packages(service) & HEAVY == set()


@pytest.mark.parametrize("service", sorted(set(SERVICES) - {"stt-module"}))
def test_only_what_hears_has_numpy(service: str) -> None:
    assert "numpy" not in _packages(service)


def test_the_images_are_within_their_budgets() -> None:
    sizes = read_sizes()
    assert set(SERVICES) <= sizes.images.keys()
    assert over_budget(sizes) == []


def test_the_sizes_are_of_the_packages_there_are() -> None:
    measured = read_sizes().packages
    now = locked_names()
    changed = [name for name in ("core", *SERVICES) if measured.get(name) != now.get(name)]
    assert changed == [], "run: make images-record"


def test_a_budget_that_is_broken_is_named() -> None:
    sizes = read_sizes()
    large = type(sizes)({**sizes.images, "tts-module": 31_000_000}, sizes.on_disk, 41_000_000, sizes.packages)
    said = over_budget(large)
    assert len(said) == 2
    assert "tts-module has 31.0 MB" in said[0]


def test_the_context_of_a_build_leaves_out_what_is_private() -> None:
    lines = (ROOT / ".dockerignore").read_text("utf-8").split()
    assert "*" in lines
    allowed = [line[1:] for line in lines if line.startswith("!")]
    assert all((ROOT / path).exists() for path in allowed)
    assert not [path for path in allowed if path.startswith((".", "deploy/nats", "requirements"))]
