"""What the Dockerfile makes, started: as an unprivileged user who can write nothing but /tmp, with no shell about."""

import importlib.util
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

import pytest
import trustme

from snapshotter import __version__
from snapshotter.testing.playground.pieces import free_port
from tests.image import locks
from tests.image.dockerfile import commands, read
from tests.image.test_wheel import build as build_wheel
from tests.image.trees import Image

pytestmark = pytest.mark.timeout(1200)

TARGETS = [*read().entrypoints(), "all"]
VERSION = __version__
DAEMONS = [name for name in commands() if name != "snapshotter"]


def python(image: Image, code: str) -> str:
    ended = image.run(str(image.tree / "bin/python"), "-c", code)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.mark.parametrize("name", commands())
def test_a_command_says_its_version(images: dict[str, Image], name: str) -> None:
    ended = images[name].run(f"/{name}", "--version")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, f"{name} {VERSION}\n", "")


def test_the_tool_needs_no_home(images: dict[str, Image]) -> None:
    """The user is not in the password database."""
    image = images["snapshotter"]
    homeless = {key: value for key, value in image.environment.items() if key != "HOME"}
    assert replace(image, environment=homeless).run("/snapshotter", "--version").returncode == 0


@pytest.mark.parametrize("name", commands())
def test_a_command_explains_itself(images: dict[str, Image], name: str) -> None:
    ended = images[name].run(f"/{name}", "--help")
    assert ended.returncode == 0
    assert ended.stdout.startswith(f"usage: {name}")


@pytest.mark.parametrize("name", commands())
def test_a_command_refuses_a_flag_that_it_does_not_know(images: dict[str, Image], name: str) -> None:
    ended = images[name].run(f"/{name}", "--no-such-flag")
    assert ended.returncode == 2
    assert f"usage: {name}" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("name", commands())
def test_the_image_of_all_has_every_command(images: dict[str, Image], name: str) -> None:
    ended = images["all"].run(f"/{name}", "--version")
    assert (ended.returncode, ended.stdout) == (0, f"{name} {VERSION}\n")


def test_who_we_are_inside_and_what_we_can_write(images: dict[str, Image], jailed: bool) -> None:
    """The other tests show nothing if this one does not hold."""
    image = images["all"]
    told = json.loads(
        python(
            image,
            "import json, os, pathlib, snapshotter\n"
            "def can_write(path):\n"
            "    try: pathlib.Path(path, 'x').write_text('x')\n"
            "    except OSError: return False\n"
            "    return True\n"
            "package = pathlib.Path(snapshotter.__file__).parent\n"
            "print(json.dumps({'uid': os.getuid(), 'groups': os.getgroups(), 'package': str(package),\n"
            "    'package is writable': can_write(package), 'root is writable': can_write('/'),\n"
            "    'root': sorted(os.listdir('/')), 'shell': os.path.exists('/bin/sh')}))",
        )
    )
    assert told["package"].startswith(f"{image.tree}/")
    assert not told["package is writable"]
    if os.getuid() == 0:
        assert told["uid"] == int(image.user.partition(":")[0])
        assert told["groups"] in ([], [int(image.user.partition(":")[2])])
    if jailed:
        assert not told["root is writable"]
        assert not told["shell"]
        assert set(commands()) < set(told["root"])


@pytest.mark.parametrize("target", TARGETS)
def test_a_tree_holds_what_its_lock_lists_and_the_program(images: dict[str, Image], target: str) -> None:
    lock = "daemons.lock" if target in DAEMONS else "playground.lock"
    assert _distributions(images[target]) == {**locks.installed(lock), "snapshotter": VERSION}


def _distributions(image: Image) -> dict[str, str]:
    code = (
        "import json\nfrom importlib.metadata import distributions\n"
        "print(json.dumps({d.metadata['Name'].lower().replace('_', '-').replace('.', '-'): d.version"
        " for d in distributions()}))"
    )
    return dict(json.loads(python(image, code)))


def test_daemons_load_without_the_playground(images: dict[str, Image]) -> None:
    """All modules but those of the stand-ins."""
    told = python(
        images["csi-snapshotter"],
        "import importlib, pkgutil, snapshotter\n"
        "for module in pkgutil.walk_packages(snapshotter.__path__, 'snapshotter.'):\n"
        "    if not module.name.startswith('snapshotter.testing'):\n"
        "        importlib.import_module(module.name); print(module.name)\n",
    )
    assert {"snapshotter.cli.daemons", "snapshotter.plan.content", "snapshotter.kube.connection"} < set(told.split())


def test_without_its_extra_the_tool_says_what_is_missing(images: dict[str, Image]) -> None:
    ended = images[DAEMONS[0]].run("/snapshotter", "demo")
    assert ended.returncode == 1
    assert "the playground needs" in ended.stderr


@pytest.mark.parametrize("target", ["csi-snapshotter", "all"])
def test_everything_is_compiled_once_for_all(images: dict[str, Image], target: str) -> None:
    """Compiled files that are never compared with their sources have the flags 1; see PEP 552."""
    library = images[target].tree / "lib"
    compiled = list(library.rglob("*.pyc"))
    assert {int.from_bytes(path.read_bytes()[4:8], "little") for path in compiled} == {1}
    sources = {importlib.util.cache_from_source(str(path)) for path in library.rglob("*.py")}
    assert sources == {str(path) for path in compiled}


def test_the_wheel_of_the_image_is_that_of_the_project(built: Path, tmp_path: Path) -> None:
    (wheel,) = (built / "wheels").glob("*.whl")
    assert wheel.read_bytes() == build_wheel(tmp_path).read_bytes()


@pytest.mark.parametrize("target", ["csi-snapshotter", "all"])
def test_the_bill_of_materials_is_valid_and_complete(images: dict[str, Image], built: Path, target: str) -> None:
    image = images[target]
    path = image.tree / "sbom.cdx.json"
    validate = (
        "import sys, pathlib\n"
        "from cyclonedx.schema import SchemaVersion\n"
        "from cyclonedx.validation.json import JsonStrictValidator\n"
        "error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(pathlib.Path(sys.argv[1]).read_text())\n"
        "sys.exit(error and str(error))"
    )
    ended = subprocess.run(
        [built / "tools/bin/python", "-c", validate, path], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")

    bill = json.loads(path.read_text())
    assert bill["metadata"]["component"]["name"] == "snapshotter"
    listed = {component["purl"].removeprefix("pkg:pypi/") for component in bill["components"]}
    installed = _distributions(image)
    assert listed == {f"{name}@{version}" for name, version in installed.items() if name != "snapshotter"}
    assert "timestamp" not in bill["metadata"]
    assert str(built) not in path.read_text()


@contextmanager
def running(command: list[str], image: Image, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as out, subprocess.Popen(command, env=image.environment, stdout=out, stderr=out) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_until(holds: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)


def page(url: str) -> str:
    """The page; empty when there is none."""
    try:
        with build_opener(ProxyHandler({})).open(url, timeout=5) as answer:
            return str(answer.read().decode())
    except (URLError, ConnectionError):
        return ""


@pytest.fixture(scope="module")
def far_side(images: dict[str, Image], tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """An API server, a driver, and certificates, in the /tmp of the images."""
    image = images["all"]
    logs = tmp_path_factory.mktemp("far")
    certificate = trustme.CA().issue_cert("127.0.0.1")
    certificate.cert_chain_pems[0].write_to_path(image.tmp / "tls.crt")
    certificate.private_key_pem.write_to_path(image.tmp / "tls.key")
    (image.tmp / "tls.key").chmod(0o644)
    server = image.command("python", "-m", "snapshotter.testing.apiserver", f"--kubeconfig={image.path('kubeconfig')}")
    driver = image.command(
        "python", "-m", "snapshotter.testing.driver",
        f"--socket={image.path('csi.sock')}", f"--state={image.path('state')}",
    )  # fmt: skip
    with running(server, image, logs / "server") as serving, running(driver, image, logs / "driver") as driving:
        wait_until((image.tmp / "kubeconfig").exists, serving, logs / "server")
        wait_until((image.tmp / "csi.sock").exists, driving, logs / "driver")
        yield


FLAGS: dict[str, Callable[[Image], list[str]]] = {
    "csi-snapshotter": lambda image: [
        f"--csi-address={image.path('csi.sock')}",
        f"--kubeconfig={image.path('kubeconfig')}",
    ],
    "snapshot-controller": lambda image: [f"--kubeconfig={image.path('kubeconfig')}"],
    "snapshot-conversion-webhook": lambda image: [
        f"--tls-cert-file={image.path('tls.crt')}",
        f"--tls-private-key-file={image.path('tls.key')}",
        f"--port={free_port()}",
    ],
}
"""What each daemon needs to run."""


@pytest.mark.parametrize("name", DAEMONS)
def test_a_daemon_becomes_ready_serves_its_metrics_and_ends_when_asked(
    images: dict[str, Image], far_side: None, name: str, tmp_path: Path
) -> None:
    image, log, address = images[name], tmp_path / "log", f"127.0.0.1:{free_port()}"
    command = image.command(f"/{name}", *FLAGS[name](image), f"--http-endpoint={address}")
    with running(command, image, log) as process:
        wait_until(lambda: page(f"http://{address}/readyz") != "", process, log)
        assert page(f"http://{address}/healthz") != ""
        assert "\nprocess_start_time_seconds " in page(f"http://{address}/metrics")
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0, log.read_text()


@pytest.mark.skipif(os.getuid() != 0, reason="the socket has to be another user's")
def test_a_socket_that_only_root_can_write_to_is_named_as_the_reason(images: dict[str, Image]) -> None:
    """As of a driver that runs as root, beside which the sidecar has to be root too."""
    image = images["csi-snapshotter"]
    path = image.path("roots.sock")
    with socket.socket(socket.AF_UNIX) as roots:
        roots.bind(str(image.tmp / "roots.sock"))
        roots.listen()
        (image.tmp / "roots.sock").chmod(0o755)
        said = python(
            image,
            "import asyncio, prometheus_client\n"
            "from snapshotter.csi.driver import CsiError, open_driver\n"
            "from snapshotter.metrics import Metrics\n"
            "async def main():\n"
            "    metrics = Metrics(prometheus_client.CollectorRegistry())\n"
            f"    async with open_driver('{path}', metrics, timeout=1, log_payloads=False) as door:\n"
            "        try: await door.wait_until_connected(1)\n"
            "        except CsiError as error: print(error)\n"
            "asyncio.run(main())\n",
        )
    assert "Permission denied for user 65532" in said


def test_the_demo_runs_in_the_image_of_the_tool(images: dict[str, Image]) -> None:
    ended = images["snapshotter"].run("/snapshotter", "demo", seconds=300)
    assert ended.returncode == 0, ended.stdout + ended.stderr
