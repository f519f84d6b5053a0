"""`snapshotter local` as a user runs it, with kubectl where there is one."""

import asyncio
import os
import re
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
import yaml

from snapshotter.names import BEING_DELETED, CONTENT_FINALIZER
from snapshotter.testing.admin import Admin
from snapshotter.testing.client import Json, KubeClient
from snapshotter.testing.faults import Fault

COMMAND = Path(sys.executable).with_name("snapshotter")
GENEROUS_SECONDS = 60
DRIVER = "hostpath.csi.k8s.io"
LAST_LINE = "  logs  "

NO_KUBECTL = pytest.mark.skipif(shutil.which("kubectl") is None, reason="there is no kubectl on the path")

# All tests are on one event loop, so that they can share one playground.
pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass(frozen=True, slots=True)
class Local:
    """A playground that runs: what it has said, and where."""

    process: asyncio.subprocess.Process
    directory: Path
    said: str

    def address(self, what: str) -> str:
        """An address that was told: of the `API server`, or the `metrics`."""
        found = re.search(rf"^  {what} +(\S+)$", self.said, re.MULTILINE)
        assert found, self.said
        return found[1]

    async def end(self, number: signal.Signals = signal.SIGTERM) -> str:
        """Stop it in order; its last words."""
        assert self.process.stdout is not None
        self.process.send_signal(number)
        async with asyncio.timeout(GENEROUS_SECONDS):
            out = await self.process.stdout.read()
            assert await self.process.wait() == 0, out
        return out.decode()


@asynccontextmanager
async def running(directory: Path, *arguments: str, **variables: str) -> AsyncIterator[Local]:
    """A playground in this directory, up to its last line."""
    process = await asyncio.create_subprocess_exec(
        COMMAND,
        "local",
        *("--directory", str(directory), *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=os.environ | variables,
    )
    assert process.stdout is not None
    said = ""
    try:
        async with asyncio.timeout(GENEROUS_SECONDS):
            while LAST_LINE not in said:
                line = await process.stdout.readline()
                assert line, said
                said += line.decode()
        yield Local(process, directory, said)
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def refused(*arguments: str) -> tuple[int, str]:
    """The exit code and the words of a command that does not come up."""
    process = await asyncio.create_subprocess_exec(
        COMMAND, "local", *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    async with asyncio.timeout(GENEROUS_SECONDS):
        out, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode()


class Kubectl:
    """kubectl, used as the instructions say."""

    def __init__(self, local: Local, cache: Path) -> None:
        exported = re.search(r"^  export KUBECONFIG=(\S+)$", local.said, re.MULTILINE)
        assert exported, local.said
        self._environment = os.environ | {"KUBECONFIG": exported[1], "KUBECACHEDIR": str(cache)}

    async def start(self, *arguments: str | Path) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            "kubectl",
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=self._environment,
        )

    async def __call__(self, *arguments: str | Path, given: Json | None = None, code: int = 0) -> str:
        """What it prints when it ends as expected."""
        process = await self.start(*arguments)
        async with asyncio.timeout(GENEROUS_SECONDS):
            out, _ = await process.communicate(None if given is None else yaml.safe_dump(given).encode())
        assert process.returncode == code, out.decode()
        return out.decode()

    @asynccontextmanager
    async def started(self, *arguments: str) -> AsyncIterator["Lines"]:
        """The lines of a kubectl that runs until the block ends."""
        process = await self.start(*arguments)
        assert process.stdout is not None
        try:
            yield Lines(process.stdout)
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.communicate()


class Lines:
    """What a command prints while it runs."""

    def __init__(self, stream: asyncio.StreamReader) -> None:
        self._stream = stream
        self.read: list[str] = []

    async def until(self, pattern: str) -> str:
        """Read on to a line that matches."""
        async with asyncio.timeout(GENEROUS_SECONDS):
            while line := (await self._stream.readline()).decode():
                self.read.append(line)
                if re.search(pattern, line):
                    return line
        raise EOFError(self.read)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def local(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Local]:
    """One for all tests that do not stop it; each uses names of its own."""
    async with running(tmp_path_factory.mktemp("local"), "--", "--ready-after-seconds", "1") as made:
        yield made
        assert await made.end() == "\nStopped.\n"


@pytest_asyncio.fixture(loop_scope="module")
async def kubectl(local: Local, tmp_path: Path) -> Kubectl:
    """With the class of the examples applied, and a volume to cut."""
    made = Kubectl(local, tmp_path)
    await made("apply", "-f", local.directory / "examples" / "snapshotclass-v1.yaml")
    if "data" not in (await held_by_driver(local))["volumes"]:
        await make_volume(local, "data")
    return made


def example(name: str, **source: str) -> Json:
    """A content with this source, as the controller makes it."""
    return {
        "apiVersion": "snapshot.storage.k8s.io/v1",
        "kind": "VolumeSnapshotContent",
        "metadata": {"name": name, "finalizers": [CONTENT_FINALIZER]},
        "spec": {
            "driver": DRIVER,
            "deletionPolicy": "Delete",
            "source": source,
            "volumeSnapshotClassName": "csi-hostpath-snapclass-v1",
            "volumeSnapshotRef": {
                "kind": "VolumeSnapshot",
                "namespace": "default",
                "name": name,
                "uid": f"uid-of-{name}",
            },
        },
    }


async def delete(kubectl: Kubectl, name: str) -> None:
    """As the instructions say."""
    await kubectl("annotate", "vsc", name, f"{BEING_DELETED}=yes")
    assert f'"{name}" deleted' in await kubectl("delete", "vsc", name)


def driver_address(local: Local) -> str:
    """The driver's admin address, which the instructions use."""
    told = re.search(r"^  curl -s (\S+)/_standin/state$", local.said, re.MULTILINE)
    assert told, local.said
    return told[1]


async def make_volume(local: Local, name: str) -> None:
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{driver_address(local)}/_standin/volumes", json={"name": name, "size": 1 << 20}) as response,
    ):
        assert response.status == 200


async def held_by_driver(local: Local) -> Json:
    async with aiohttp.ClientSession() as http, http.get(f"{driver_address(local)}/_standin/state") as response:
        held: Json = await response.json()
        return held


@NO_KUBECTL
@pytest.mark.kubectl
async def test_the_custom_resources_are_there(kubectl: Kubectl) -> None:
    listed = await kubectl("get", "crds")
    for plural in ("volumesnapshotclasses", "volumesnapshotcontents", "volumesnapshots"):
        assert f"{plural}.snapshot.storage.k8s.io" in listed


@NO_KUBECTL
@pytest.mark.kubectl
async def test_the_instructions_are_a_script_that_works(local: Local, kubectl: Kubectl) -> None:
    """A claim is cut and restored, two are cut together, and all of it is deleted."""
    lines = re.findall(r"^  ((?:kubectl|sed|cd|export|ls|curl) .+)$", local.said, re.MULTILINE)
    deletes = next(number for number, line in enumerate(lines) if "delete" in line)
    said = await shell(lines[:deletes])
    assert "volumesnapshot.snapshot.storage.k8s.io/new-snapshot-demo-v1 condition met\n" in said
    assert "volumegroupsnapshot.groupsnapshot.storage.k8s.io/new-groupsnapshot-demo condition met\n" in said
    members = re.findall(r"^snapshot-\w+ +new-groupsnapshot-demo +(\S+)$", said, re.MULTILINE)
    assert sorted(members) == ["hpvc", "hpvc-2"]
    assert said.count("volumeSnapshotHandlePairList:") == 1
    await kubectl("wait", "pvc/hpvc-restore", "--for=jsonpath={.status.phase}=Bound", f"--timeout={GENEROUS_SECONDS}s")
    assert "No resources found" in await kubectl("get", "events", "--field-selector=type=Warning")
    held = await held_by_driver(local)
    assert (len(held["snapshots"]), len(held["groups"])) == (3, 1)
    assert len([volume for volume in held["volumes"].values() if volume["from_snapshot"]]) == 1

    await shell([lines[0], *lines[deletes:]])
    held = await held_by_driver(local)
    assert (held["snapshots"], held["groups"]) == ({}, {})
    await kubectl("wait", "pv", "--all", "--for=delete", f"--timeout={GENEROUS_SECONDS}s")
    assert [name for name in (await held_by_driver(local))["volumes"] if name.startswith("vol-")] == []


async def shell(lines: list[str]) -> str:
    """What these commands print; none of them may fail."""
    process = await asyncio.create_subprocess_exec(
        "bash",
        "-euo",
        "pipefail",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(2 * GENEROUS_SECONDS):
        out, _ = await process.communicate("\n".join(lines).encode())
    assert process.returncode == 0, out.decode()
    return out.decode()


@NO_KUBECTL
@pytest.mark.kubectl
async def test_a_watch_shows_the_printer_columns_of_each_stage(local: Local, kubectl: Kubectl) -> None:
    not_ready = Fault(match="^CreateSnapshot", answer={"snapshot.ready_to_use": False})
    async with (
        Admin(driver_address(local)) as driver,
        kubectl.started("get", "volumesnapshotcontents", "-w", "--field-selector=metadata.name=staged") as lines,
    ):
        fault = await driver.set_fault(not_ready)
        await kubectl("apply", "-f", "-", given=example("staged", volumeHandle="data"))
        not_yet = await lines.until("^staged +false ")
        await driver.lift(fault)
        ready = await lines.until("^staged +true ")
    assert lines.read[0].split() == [
        *("NAME", "READYTOUSE", "RESTORESIZE", "DELETIONPOLICY", "DRIVER"),
        *("VOLUMESNAPSHOTCLASS", "VOLUMESNAPSHOT", "VOLUMESNAPSHOTNAMESPACE", "AGE"),
    ]
    for line, readiness in ((not_yet, "false"), (ready, "true")):
        known = ["staged", readiness, "1048576", "Delete", DRIVER, "csi-hostpath-snapclass-v1", "staged", "default"]
        assert line.split()[:-1] == known
    await delete(kubectl, "staged")


@NO_KUBECTL
@pytest.mark.kubectl
async def test_a_failure_is_described_by_status_and_event(local: Local, kubectl: Kubectl) -> None:
    await kubectl("apply", "-f", "-", given=example("lost", volumeHandle="no-such-volume"))
    async with (
        asyncio.timeout(GENEROUS_SECONDS),
        KubeClient(local.address("API server")) as client,
        aclosing(client.follow("Event", fieldSelector="involvedObject.name=lost")) as events,
    ):
        await anext(events)
    described = await kubectl("describe", "volumesnapshotcontent", "lost")
    failure = 'CreateSnapshot of volume "no-such-volume" failed: NotFound'
    assert re.search(rf"Status:\n +Error:\n +Message: +{failure}", described)
    assert re.search(rf"Warning +SnapshotCreationFailed .* csi-snapshotter {re.escape(DRIVER)} +{failure}", described)
    await delete(kubectl, "lost")


@NO_KUBECTL
@pytest.mark.kubectl
async def test_what_a_cluster_refuses_is_refused_with_its_words(local: Local, kubectl: Kubectl) -> None:
    both = example("refused", volumeHandle="data", snapshotHandle="snap")
    assert await kubectl("apply", "-f", "-", given=both, code=1) == (
        'The VolumeSnapshotContent "refused" is invalid: spec.source: Invalid value: '
        "exactly one of volumeHandle and snapshotHandle must be set\n"
    )
    await kubectl("apply", "-f", "-", given=example("refused", volumeHandle="data"))
    other = '{"spec": {"source": {"volumeHandle": "other"}}}'
    assert await kubectl("patch", "vsc", "refused", "--type=merge", "-p", other, code=1) == (
        'The VolumeSnapshotContent "refused" is invalid: spec.source.volumeHandle: Invalid value: '
        '"other": volumeHandle is immutable\n'
    )
    negative = '{"status": {"restoreSize": -1}}'
    assert await kubectl("patch", "vsc", "refused", "--type=merge", "--subresource=status", "-p", negative, code=1) == (
        'The VolumeSnapshotContent "refused" is invalid: status.restoreSize: Invalid value: '
        "-1: restoreSize in body should be greater than or equal to 0\n"
    )
    await delete(kubectl, "refused")


async def test_metrics_are_served_at_the_address_that_is_told(local: Local) -> None:
    async with aiohttp.ClientSession() as http, http.get(local.address("metrics")) as response:
        assert response.status == 200
        assert "csi_sidecar_operations_seconds" in await response.text()


async def test_a_program_that_is_killed_is_started_again_and_goes_on(local: Local, kubectl: Kubectl) -> None:
    (line,) = re.findall(r"^  (kill .+)$", local.said, re.MULTILINE)
    await shell([line])
    assert local.process.stdout is not None
    async with asyncio.timeout(GENEROUS_SECONDS):
        told = (await local.process.stdout.readline()).decode()
    assert told == "the sidecar was killed by SIGKILL, and is started again\n"
    for example in ("storageclass.yaml", "pvc.yaml", "snapshotclass-v1.yaml", "snapshot-v1.yaml"):
        await kubectl("apply", "-f", local.directory / "examples" / example)
    ready = "--for=jsonpath={.status.readyToUse}=true"
    await kubectl("wait", "volumesnapshot/new-snapshot-demo-v1", ready, f"--timeout={GENEROUS_SECONDS}s")
    await kubectl("delete", "vs,pvc", "--all")


async def test_a_second_one_in_the_directory_is_refused(local: Local) -> None:
    code, said = await refused("--directory", str(local.directory))
    assert (code, said) == (
        1,
        f"snapshotter: another playground runs in {local.directory}; --directory chooses another\n",
    )


async def test_the_storage_is_as_it_was_when_it_is_started_again(tmp_path: Path) -> None:
    directory = tmp_path / "local"
    async with running(directory) as first:
        await make_volume(first, "data")
        held = await held_by_driver(first)
        assert set(held["volumes"]) == {"data"}
        assert await first.end(signal.SIGINT) == "\nStopped.\n"
    async with running(directory, PATH="/nowhere") as second:
        assert await held_by_driver(second) == held
        assert "kubectl is not on the PATH" in second.said
        assert await second.end() == "\nStopped.\n"


REFUSED = {
    "an unknown flag": (("--nonsense",), 2, "snapshotter local: error: unrecognized arguments: --nonsense"),
    "an unknown flag of the driver": (("--", "--nonsense"), 2, "error: unrecognized arguments: --nonsense"),
    "a bad value for the driver": (("--", "--page-size=many"), 2, "error: argument --page-size: invalid int value"),
    "what the playground sets itself": (
        ("--", "--socket=mine", "--name=mine"),
        2,
        "error: set by the playground itself: --socket, --name",
    ),
    "a directory that cannot be made": (
        ("--directory", "/proc/x"),
        1,
        "snapshotter: /proc/x: No such file or directory",
    ),
}


@pytest.mark.parametrize(("arguments", "code", "words"), REFUSED.values(), ids=REFUSED.keys())
async def test_what_makes_no_sense_is_refused(arguments: tuple[str, ...], code: int, words: str) -> None:
    ended, said = await refused(*arguments)
    assert (ended, words in said) == (code, True), said
