"""Promise 8: our writes erase nothing of others, however they interleave."""

import asyncio
import random

from tests.world import JSON_PATCH, World, each_kind

CONTENTS = 100
WRITES_EACH = 10


@each_kind
async def test_promise_8_a_thousand_interleavings_with_a_second_writer_lose_nothing(world: World) -> None:
    """Case 24."""
    chance = random.Random(8)  # noqa: S311
    expected: dict[str, set[str]] = {}

    async def interfere(name: str) -> None:
        written: set[str] = set()
        for number in range(WRITES_EACH):
            await asyncio.sleep(chance.random() * 0.02)
            if number % 2:
                await world.patch(name, {"metadata": {"annotations": {f"example.com/{number}": "here"}}})
                written.add(f"example.com/{number}")
            else:
                add = {"op": "add", "path": "/metadata/finalizers/-", "value": f"example.com/{number}"}
                await world.request("PATCH", f"{world.kind.path}/{name}", [add], JSON_PATCH)
                written.add(f"example.com/{number}")
        expected[name] = written

    async def live(name: str) -> None:
        # Some begin without the finalizer that we add, so that lists are changed by both sides.
        finalizers = ("example.com/first",) + (() if chance.random() < 0.5 else (world.kind.finalizer,))
        await world.make_content(name, finalizers=finalizers)
        await interfere(name)
        await world.until(lambda: world.settled(name))
        await world.delete_content(name)

    async with world.sidecar():
        async with asyncio.TaskGroup() as writers:
            for number in range(CONTENTS):
                writers.create_task(live(f"c{number}"))
        await world.until(lambda: not world.stored, seconds=60)
        await world.until(lambda: not any("snapshot.storage" in str(world.finalizers(name)) for name in expected))
    for name, written in expected.items():
        here = set(world.finalizers(name)) | set(world.annotations(name))
        assert written | {"example.com/first"} <= here
        assert not world.warnings(name)
