"""Images as a registry holds them: an OCI image layout, each layer once, compressed as well as it goes.

Engines compress quickly and not well when they push. Here a layer is compressed once, by ``zstd -19`` where there is
zstd and by gzip elsewhere, and pushed as it is: what the layout weighs is what the registry holds and a node downloads.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from handler_base.errors import UpstreamError

__all__ = ["Layer", "Layout", "Packed"]

_CONFIG_TYPE: Final = "application/vnd.oci.image.config.v1+json"
_LAYER_TYPE: Final = "application/vnd.oci.image.layer.v1.tar+"
_MANIFEST_TYPE: Final = "application/vnd.oci.image.manifest.v1+json"
_GZIP_MAGIC: Final = b"\x1f\x8b"
_BLOCK: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer of an image.

    Attributes:
        content: Digest of the archive before compression: the same content has the same.
        digest: Of the compressed archive.
        size: Of the compressed archive, in bytes.
        raw: Of the archive, in bytes.
    """

    content: str
    digest: str
    size: int
    raw: int


@dataclass(frozen=True, slots=True)
class Packed:
    """An image in the layout.

    Attributes:
        digest: Of its manifest, by which it can be pulled.
        layers: From the base up.
        manifest: Size of manifest and configuration, in bytes.
    """

    digest: str
    layers: tuple[Layer, ...]
    manifest: int

    @property
    def size(self) -> int:
        """What a machine downloads that has none of it, in bytes."""
        return sum(layer.size for layer in self.layers)


class Layout:
    """A folder in the OCI image layout, begun anew.

    Args:
        folder: Where it is kept. Layers compressed earlier stay beside it and are not compressed again.
        compression: `zstd` or `gzip`; empty: what there is.

    Attributes:
        compression: Of the layers.
    """

    def __init__(self, folder: Path, compression: str = "") -> None:
        self.compression = compression or ("zstd" if shutil.which("zstd") else "gzip")
        self._folder = folder
        self._cache = folder.with_name(f"{folder.name}-layers")
        self._blobs = folder / "blobs" / "sha256"
        self._manifests: list[dict[str, Any]] = []
        shutil.rmtree(folder, ignore_errors=True)
        self._blobs.mkdir(parents=True)
        self._cache.mkdir(exist_ok=True)
        (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}', "utf-8")

    def add(self, archive: Path, name: str) -> Packed:
        """Add an image.

        Args:
            archive: In the format of `docker save`.
            name: By which it is found in the layout.
        """
        with tarfile.open(archive) as tar:
            listed = json.loads(_read(tar, "manifest.json"))[0]
            config = _read(tar, listed["Config"])
            layers = tuple(self._layer(tar, path) for path in listed["Layers"])
        manifest = {
            "schemaVersion": 2,
            "mediaType": _MANIFEST_TYPE,
            "config": self._blob(config, _CONFIG_TYPE),
            "layers": [
                {"mediaType": _LAYER_TYPE + self.compression, "digest": one.digest, "size": one.size} for one in layers
            ],
        }
        encoded = json.dumps(manifest, separators=(",", ":")).encode()
        entry = self._blob(encoded, _MANIFEST_TYPE)
        self._manifests.append({**entry, "annotations": {"org.opencontainers.image.ref.name": name}})
        index = {"schemaVersion": 2, "manifests": self._manifests}
        (self._folder / "index.json").write_text(json.dumps(index, indent=1), "utf-8")
        return Packed(entry["digest"], layers, len(encoded) + len(config))

    def _layer(self, tar: tarfile.TarFile, path: str) -> Layer:
        content = hashlib.sha256()
        raw = 0
        for block in _blocks(tar, path):
            content.update(block)
            raw += len(block)
        packed = self._cache / f"{content.hexdigest()}.{self.compression}"
        if not packed.exists():
            pack = _zstd if self.compression == "zstd" else _gzip
            pack(_blocks(tar, path), packed)
        data = packed.read_bytes()
        blob = self._blob(data, _LAYER_TYPE + self.compression)
        return Layer(f"sha256:{content.hexdigest()}", blob["digest"], len(data), raw)

    def _blob(self, data: bytes, media_type: str) -> dict[str, Any]:
        digest = hashlib.sha256(data).hexdigest()
        (self._blobs / digest).write_bytes(data)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}


def _zstd(blocks: Iterator[bytes], target: Path) -> None:
    partial = target.with_suffix(".part")
    # One thread: more of them give other bytes.
    command = ["zstd", "-19", "--single-thread", "--quiet", "--force", "-", "-o", str(partial)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None  # noqa: S101 - asked for above
        for block in blocks:
            process.stdin.write(block)
        process.stdin.close()
    if process.returncode != 0:
        raise UpstreamError("zstd failed; what it said is above.")
    partial.replace(target)


def _gzip(blocks: Iterator[bytes], target: Path) -> None:
    partial = target.with_suffix(".part")
    with partial.open("wb") as file, gzip.GzipFile("", "wb", 9, file, mtime=0) as packer:
        for block in blocks:
            packer.write(block)
    partial.replace(target)


def _read(tar: tarfile.TarFile, path: str) -> bytes:
    file = tar.extractfile(path)
    if file is None:
        raise UpstreamError(f"The engine's archive lacks {path}.")
    with file:
        return file.read()


def _blocks(tar: tarfile.TarFile, path: str) -> Iterator[bytes]:
    """Read a layer uncompressed, whichever way the engine has kept it."""
    file = tar.extractfile(path)
    if file is None:
        raise UpstreamError(f"The engine's archive lacks {path}.")
    with file:
        packed = file.read(2) == _GZIP_MAGIC
        file.seek(0)
        reader = gzip.GzipFile(fileobj=file) if packed else file
        while block := reader.read(_BLOCK):
            yield block
