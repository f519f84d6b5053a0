"""The load that upstream stumbles over: many workers, and contents of every fate at once."""

import asyncio
import random

from snapshotter.csi.errors import CODES
from snapshotter.settings import WorkSettings
from snapshotter.testing.faults import Fault
from tests.world import World, each_kind

WORKERS = 40
CODE_NAMES = [status.name for status in CODES if status.name != "OK"]


@each_kind
async def test_promises_under_a_mixed_load_of_sixty_contents_and_forty_workers(world: World) -> None:
    chance = random.Random(60)  # noqa: S311
    fine = [f"fine-{number}" for number in range(14)]
    failing = {f"failing-{code.lower().replace('_', '-')}": code for code in CODE_NAMES}
    hanging = [f"hanging-{number}" for number in range(15)]
    deleted = [f"deleted-{number}" for number in range(15)]
    assert len(fine) + len(failing) + len(hanging) + len(deleted) == 60
    for name in (*fine, *failing, *hanging, *deleted):
        await world.driver.make_volume(name, b"x" * 10)
    for name, code in failing.items():
        world.driver.faults.set(
            Fault(
                match=f"{world.kind.create} {world.kind.subject(name, name)}$", error=code, message="refused in way {n}"
            )
        )
    hang = world.hold(f"{world.kind.create} {world.kind.subject('hanging-', 'hanging-')}")

    async def live(name: str) -> None:
        await world.make_content(name, volume=name, uid=name, annotations={"example.com/before": name})
        for number in range(5):
            await asyncio.sleep(chance.random() * 0.1)
            await world.patch(name, {"metadata": {"annotations": {f"example.com/{number}": name}}})
        if name in deleted:
            await world.delete_content(name)

    work = WorkSettings(worker_threads=WORKERS, retry_start=0.2, retry_max=2.0, shutdown_grace=2.0)
    async with world.sidecar(work=work):
        async with asyncio.TaskGroup() as users:
            for name in chance.sample([*fine, *failing, *hanging, *deleted], 60):
                users.create_task(live(name))
        await world.until(lambda: all(world.ready(name) for name in fine))
        await world.until(lambda: all(world.content(name) is None for name in deleted))
        await world.until(lambda: all(world.error(name) for name in failing))
        # Everybody gets well: the failing succeed, the hanging get their answers.
        world.driver.faults.clear()
        assert hang
        await world.until(lambda: all(world.ready(name) for name in (*failing, *hanging)))
        living = (*fine, *failing, *hanging)
        await world.until(lambda: not any(world.kind.being_created in world.annotations(name) for name in living))

    for name in (*fine, *hanging):
        assert world.calls(world.kind.create, world.kind.subject(name, name)) == 1
        requests = [request for request in world.sidecar_requests() if name in request.split("/")]
        assert requests == [f"PATCH /{name}", f"PATCH /{name}/status", f"PATCH /{name}"]
    for name in living:
        assert {f"example.com/{key}" for key in ("before", 0, 1, 2, 3, 4)} <= set(world.annotations(name))
        assert world.error(name) is None
    for name in (*fine, *hanging, *deleted):
        assert not world.warnings(name)
    for name in failing:
        assert len(world.warnings(name)) == 1
    handles = {world.handle(name) for name in living}
    assert handles == set(world.stored)
