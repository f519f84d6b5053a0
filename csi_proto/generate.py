"""Makes the Python modules of csi.proto, or checks that the committed ones are what would be made now.

    python -m csi_proto.generate [--check]

The result depends on the versions of grpcio-tools and mypy-protobuf, which the development dependencies name.
"""

import argparse
import difflib
import re
import sys
import tempfile
from importlib import metadata, resources
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
SOURCE = "csi_proto/csi.proto"
GENERATED = ("csi_pb2.py", "csi_pb2.pyi", "csi_pb2_grpc.py", "csi_pb2_grpc.pyi")

# Generated modules refuse to run with libraries older than their generator, and protobuf warns when the
# library is a major version newer. What is generated here needs neither: the guards are left out, so that
# users may choose their libraries within the range that the project names.
GUARDS = (
    re.compile(r"^from google\.protobuf import runtime_version as _runtime_version\n", re.MULTILINE),
    re.compile(r"^_runtime_version\.ValidateProtobufRuntimeVersion\(.*?^\)\n", re.MULTILINE | re.DOTALL),
    re.compile(r"^# Protobuf Python Version: .*\n", re.MULTILINE),
    re.compile(r"^import warnings\n", re.MULTILINE),
    re.compile(r"^GRPC_GENERATED_VERSION = .*?^if _version_not_supported:\n.*?^    \)\n", re.MULTILINE | re.DOTALL),
    re.compile(r"^GRPC_(GENERATED_)?VERSION: str\n", re.MULTILINE),
)


class GenerationError(Exception):
    """The protobuf compiler or one of its plugins refused."""


def generate() -> dict[str, str]:
    """The text of each generated module, by file name. Raises GenerationError."""
    # Only developers have the compiler.
    from grpc_tools import protoc  # type: ignore[import-untyped]  # noqa: PLC0415

    well_known = resources.files("grpc_tools") / "_proto"
    with tempfile.TemporaryDirectory() as out:
        code = protoc.main(
            [
                "protoc",
                f"-I{PACKAGE.parent}",
                f"-I{well_known}",
                f"--plugin=protoc-gen-mypy={_plugin('protoc-gen-mypy')}",
                f"--plugin=protoc-gen-mypy_grpc={_plugin('protoc-gen-mypy_grpc')}",
                f"--python_out={out}",
                f"--grpc_python_out={out}",
                f"--mypy_out=quiet:{out}",
                f"--mypy_grpc_out=quiet,only_async,generate_concrete_servicer_stubs:{out}",
                SOURCE,
            ]
        )
        if code:
            raise GenerationError(f"the protobuf compiler ended with {code}")
        return {name: _without_guards((Path(out) / "csi_proto" / name).read_text()) for name in GENERATED}


def stale(wanted: dict[str, str]) -> list[str]:
    """The differences between the committed modules and these, as lines of a unified diff."""
    lines: list[str] = []
    for name, text in wanted.items():
        path = PACKAGE / name
        committed = path.read_text() if path.exists() else ""
        lines += difflib.unified_diff(
            committed.splitlines(), text.splitlines(), f"committed/{name}", f"generated/{name}", lineterm=""
        )
    return lines


def _plugin(name: str) -> Path:
    return Path(sys.executable).parent / name


def _without_guards(text: str) -> str:
    for guard in GUARDS:
        text = guard.sub("", text)
    return text


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m csi_proto.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a committed module is stale")
    check = parser.parse_args().check

    modules = generate()
    if not check:
        for name, text in modules.items():
            (PACKAGE / name).write_text(text)
        return 0
    if not (differences := stale(modules)):
        return 0
    versions = ", ".join(f"{tool} {metadata.version(tool)}" for tool in ("grpcio-tools", "mypy-protobuf"))
    sys.stderr.write("\n".join(differences[:60]) + "\n")
    sys.stderr.write(f"stale: run python -m csi_proto.generate (this was {versions})\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
