"""The layout that is pushed: what engines save goes in, each layer once, the same bytes each time."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from deploy.images.engine import find_engine
from deploy.images.layout import Layout
from handler_base.errors import NotFoundError

BASE = b"the base" * 1000
SERVICE = b"a service" * 1000


def _archive(path: Path, *layers: bytes, packed: bool = False) -> Path:
    """Write what `docker save` writes."""
    files = {"config.json": json.dumps({"os": "linux"}).encode()}
    for number, layer in enumerate(layers):
        files[f"{number}/layer.tar"] = gzip.compress(layer) if packed else layer
    listed = [{"Config": "config.json", "Layers": [name for name in files if name != "config.json"]}]
    files["manifest.json"] = json.dumps(listed).encode()
    with tarfile.open(path, "w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def _blob(folder: Path, digest: str) -> bytes:
    algorithm, _, value = digest.partition(":")
    data = (folder / "blobs" / algorithm / value).read_bytes()
    assert hashlib.sha256(data).hexdigest() == value
    return data


def _manifest(folder: Path, name: str) -> dict[str, Any]:
    index = json.loads((folder / "index.json").read_text("utf-8"))
    entries = [one for one in index["manifests"] if one["annotations"]["org.opencontainers.image.ref.name"] == name]
    found: dict[str, Any] = json.loads(_blob(folder, entries[0]["digest"]))
    return found


def test_an_image_comes_out_as_it_went_in(tmp_path: Path) -> None:
    folder = tmp_path / "oci"
    packed = Layout(folder, "gzip").add(_archive(tmp_path / "a.tar", BASE, SERVICE), "a")
    manifest = _manifest(folder, "a")
    assert [gzip.decompress(_blob(folder, one["digest"])) for one in manifest["layers"]] == [BASE, SERVICE]
    assert [one["size"] for one in manifest["layers"]] == [one.size for one in packed.layers]
    assert {one["mediaType"] for one in manifest["layers"]} == {"application/vnd.oci.image.layer.v1.tar+gzip"}
    assert json.loads(_blob(folder, manifest["config"]["digest"])) == {"os": "linux"}
    assert [one.raw for one in packed.layers] == [len(BASE), len(SERVICE)]


def test_a_layer_of_two_images_is_kept_once(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "oci", "gzip")
    first = layout.add(_archive(tmp_path / "a.tar", BASE, SERVICE), "a")
    second = layout.add(_archive(tmp_path / "b.tar", BASE, b"another" * 1000), "b")
    assert first.layers[0] == second.layers[0]
    assert first.layers[1] != second.layers[1]
    # Three layers, two manifests, and one configuration that both have.
    assert len(list((tmp_path / "oci" / "blobs" / "sha256").iterdir())) == 6


def test_the_digest_does_not_depend_on_how_the_engine_keeps_layers(tmp_path: Path) -> None:
    plain = Layout(tmp_path / "one", "gzip").add(_archive(tmp_path / "a.tar", BASE, SERVICE), "a")
    packed = Layout(tmp_path / "two", "gzip").add(_archive(tmp_path / "b.tar", BASE, SERVICE, packed=True), "a")
    assert plain.digest == packed.digest


def test_without_an_engine_it_is_said_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NotFoundError) as caught:
        find_engine()
    for name in ("docker", "podman", "buildah"):
        assert f"{name} is not installed" in caught.value.message
    assert "apt-get install" in caught.value.message


def test_a_docker_whose_daemon_is_away_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, code in (("docker", 1), ("podman", 0)):
        (tmp_path / name).write_text(f"#!/bin/sh\nexit {code}\n", "utf-8")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_engine().name == "podman"
    with pytest.raises(NotFoundError, match="daemon does not answer"):
        find_engine("docker")
