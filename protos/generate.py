"""Generate the Python stubs and the descriptor image of every contract.

    python protos/generate.py              write protos/gen (stubs, type stubs, api.binpb)
    python protos/generate.py --check      change nothing; name every file that has drifted, exit 1
    python protos/generate.py --only DIR   only the files below DIR (repeatable), no image

Needs no network and no vendored third-party .proto: the descriptors of buf.validate, google.api,
google.rpc and google.type are taken out of the installed wheels, so contract and runtime can never
disagree about them. protoc comes from grpcio-tools.
"""

from __future__ import annotations

import argparse
import importlib
import re
import sys
import sysconfig
import tempfile
from collections.abc import Iterable
from pathlib import Path

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from grpc_tools import protoc

PROTO_ROOT = Path(__file__).resolve().parent
SOURCE_ROOT = PROTO_ROOT / "market_supervision"
GENERATED_ROOT = PROTO_ROOT / "gen"
IMAGE_NAME = "api.binpb"

VALIDATE_PROTO = "buf/validate/validate.proto"
# `import "path";`, also `import public "path";`; a path never contains a quote.
IMPORT_STATEMENT = re.compile(r'^\s*import\s+(?:public\s+)?"([^"]+)"\s*;', re.MULTILINE)


class GenerationError(Exception):
    """A contract does not compile, or needs a descriptor that no installed package has."""


def source_files(only: Iterable[Path] = ()) -> list[str]:
    """Return the contract files below `only` (default: all), relative to the proto root, sorted."""
    folders = [folder.resolve() for folder in only] or [SOURCE_ROOT]
    found: set[Path] = set()
    for folder in folders:
        matches = [folder] if folder.suffix == ".proto" else sorted(folder.rglob("*.proto"))
        if not matches:
            message = f"no .proto file below {folder}"
            raise GenerationError(message)
        found.update(matches)
    return sorted(path.relative_to(PROTO_ROOT).as_posix() for path in found)


def third_party_descriptors() -> FileDescriptorSet:
    """Return the descriptors of the third-party files the contracts import, and of theirs."""
    wanted: set[str] = {VALIDATE_PROTO}
    for path in SOURCE_ROOT.rglob("*.proto"):
        wanted.update(IMPORT_STATEMENT.findall(path.read_text(encoding="utf-8")))
    collected: dict[str, FileDescriptorProto] = {}
    for name in sorted(wanted):
        if not name.startswith("market_supervision/"):
            _collect(name, collected)
    return FileDescriptorSet(file=[collected[name] for name in sorted(collected)])


def _collect(name: str, collected: dict[str, FileDescriptorProto]) -> None:
    if name in collected:
        return
    if name == VALIDATE_PROTO:
        collected[name] = _validate_descriptor()
        for dependency in collected[name].dependency:
            _collect(dependency, collected)
        return
    module_name = name.removesuffix(".proto").replace("/", ".") + "_pb2"
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        message = f"{name} is imported by a contract, but {module_name} is not installed"
        raise GenerationError(message) from error
    _add_with_dependencies(module.DESCRIPTOR, collected)


def _add_with_dependencies(
    descriptor: FileDescriptor, collected: dict[str, FileDescriptorProto]
) -> None:
    if descriptor.name in collected:
        return
    proto = FileDescriptorProto()
    descriptor.CopyToProto(proto)
    collected[descriptor.name] = proto
    for dependency in descriptor.dependencies:
        _add_with_dependencies(dependency, collected)


def _validate_descriptor() -> FileDescriptorProto:
    # protovalidate ships the descriptor only in its private generated module, for Buf's own
    # protobuf runtime; the bytes are the same, so they are read over into Google's.
    module = importlib.import_module("protovalidate._gen.buf.validate.validate_pb")
    return FileDescriptorProto.FromString(module.desc().proto.to_binary())


def generate(target: Path, files: list[str], *, with_image: bool) -> None:
    """Run protoc for `files` into `target`; raise GenerationError with protoc's verdict."""
    scripts = Path(sysconfig.get_path("scripts"))
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        dependencies = Path(scratch) / "third_party.binpb"
        dependencies.write_bytes(third_party_descriptors().SerializeToString(deterministic=True))
        common = ["protoc", f"--proto_path={PROTO_ROOT}", f"--descriptor_set_in={dependencies}"]
        _protoc(
            [
                *common,
                f"--plugin=protoc-gen-mypy={scripts / 'protoc-gen-mypy'}",
                f"--python_out={target}",
                f"--mypy_out=quiet:{target}",
                *files,
                VALIDATE_PROTO,
            ]
        )
        services = [name for name in files if _declares_service(name)]
        if services:
            _protoc(
                [
                    *common,
                    f"--plugin=protoc-gen-mypy_grpc={scripts / 'protoc-gen-mypy_grpc'}",
                    f"--grpc_python_out={target}",
                    f"--mypy_grpc_out=quiet:{target}",
                    *services,
                ]
            )
        if with_image:
            image = target / IMAGE_NAME
            _protoc(
                [
                    *common,
                    f"--descriptor_set_out={image}",
                    "--include_imports",
                    "--include_source_info",
                    *files,
                ]
            )


def _declares_service(name: str) -> bool:
    text = (PROTO_ROOT / name).read_text(encoding="utf-8")
    return re.search(r"^service\s+\w+\s*\{", text, re.MULTILINE) is not None


def _protoc(arguments: list[str]) -> None:
    if protoc.main(arguments) != 0:
        message = "protoc refused the contracts; its messages stand above"
        raise GenerationError(message)


def differences(fresh: Path, committed: Path, *, complete: bool) -> dict[str, str]:
    """Return file name → what is wrong with the committed copy; leftovers only if `complete`."""
    fresh_files = _relative_files(fresh)
    committed_files = _relative_files(committed)
    drift: dict[str, str] = {}
    for name in sorted(fresh_files):
        if name not in committed_files:
            drift[name] = "missing"
        elif (fresh / name).read_bytes() != (committed / name).read_bytes():
            drift[name] = "differs from its .proto"
    if complete:
        drift |= dict.fromkeys(sorted(committed_files - fresh_files), "has no .proto")
    return drift


def _relative_files(root: Path) -> set[str]:
    return {
        path.relative_to(root).as_posix()
        for path in root.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def install(fresh: Path, drift: dict[str, str]) -> None:
    """Bring the committed tree to the fresh one, touching only what differs."""
    for name in drift:
        target = GENERATED_ROOT / name
        if (fresh / name).exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            # Written beside and renamed, so that a reader never sees half a module.
            partial = target.with_name(f".{target.name}.partial")
            partial.write_bytes((fresh / name).read_bytes())
            partial.replace(target)
        else:
            target.unlink(missing_ok=True)


def main() -> int:
    """Parse the command line, generate, then install or compare."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="only report drift")
    parser.add_argument(
        "--only", type=Path, action="append", default=[], metavar="DIR", help="folder or .proto"
    )
    options = parser.parse_args()
    complete = not options.only
    with tempfile.TemporaryDirectory() as scratch:
        fresh = Path(scratch)
        try:
            generate(fresh, source_files(options.only), with_image=complete)
        except GenerationError as error:
            sys.stderr.write(f"generate: {error}\n")
            return 2
        drift = differences(fresh, GENERATED_ROOT, complete=complete)
        if options.check:
            for name, reason in drift.items():
                sys.stderr.write(f"protos/gen/{name}: {reason}\n")
            if drift:
                sys.stderr.write("generated code has drifted; run: make protos\n")
            return 1 if drift else 0
        install(fresh, drift)
    sys.stdout.write(f"protos/gen: {len(drift)} file(s) changed\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
