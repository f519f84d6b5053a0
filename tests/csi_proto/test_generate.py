import subprocess
import sys

import pytest

from csi_proto import generate


def test_the_committed_modules_are_what_the_generator_makes() -> None:
    assert generate.stale(generate.generate()) == []


def test_a_stale_module_is_told_by_its_differences() -> None:
    modules = generate.generate()
    name = generate.GENERATED[0]
    differences = generate.stale(modules | {name: modules[name] + "another line\n"})
    assert f"+++ generated/{name}" in differences
    assert "+another line" in differences


def test_the_check_says_nothing_when_all_is_well() -> None:
    check = [sys.executable, "-W", "error", "-m", "csi_proto.generate", "--check"]
    ended = subprocess.run(check, capture_output=True, text=True, check=False, cwd=generate.PACKAGE.parent)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


@pytest.mark.parametrize("name", ["csi_pb2.py", "csi_pb2_grpc.py"])
def test_no_module_is_tied_to_the_versions_of_its_generator(name: str) -> None:
    text = (generate.PACKAGE / name).read_text()
    assert "ValidateProtobufRuntimeVersion" not in text
    assert "GRPC_GENERATED_VERSION" not in text
