"""A bulkhead: so many at once, so many in line, in order, and no place is ever lost."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable

import pytest

from holdfast.errors import BulkheadFull, PolicyError
from holdfast.resilience import Bulkhead

DEADLINE_S = 30


class Gate:
    """Calls that stay until they are let go."""

    def __init__(self) -> None:
        self._open = threading.Event()
        self.inside = threading.Semaphore(0)

    def stay(self) -> None:
        self.inside.release()
        assert self._open.wait(DEADLINE_S)

    def let_go(self) -> None:
        self._open.set()


def until(condition: Callable[[], object]) -> None:
    pause = threading.Event()
    for _ in range(DEADLINE_S * 200):
        if condition():
            return
        pause.wait(0.005)
    raise AssertionError("it did not come to pass")


def test_one_call_too_many_is_refused_and_a_place_that_gets_free_is_given_again() -> None:
    bulkhead, gate = Bulkhead("gateway", concurrent=1), Gate()
    thread = threading.Thread(target=bulkhead.call, args=(gate.stay,))
    thread.start()
    assert gate.inside.acquire(timeout=DEADLINE_S)
    with pytest.raises(BulkheadFull, match="bulkhead gateway is full: 1 calls are under way and 0 wait"):
        bulkhead.call(lambda: None)
    gate.let_go()
    thread.join(DEADLINE_S)
    assert bulkhead.call(lambda: "answer") == "answer"
    assert (bulkhead.running, bulkhead.waiting) == (0, 0)


def test_who_waits_too_long_is_refused_and_leaves_the_line() -> None:
    bulkhead, gate = Bulkhead("gateway", concurrent=1, waiting=1, wait_s=0.05), Gate()
    thread = threading.Thread(target=bulkhead.call, args=(gate.stay,))
    thread.start()
    assert gate.inside.acquire(timeout=DEADLINE_S)
    with pytest.raises(BulkheadFull, match=r"had no place within 0.05 s"):
        bulkhead.call(lambda: None)
    with pytest.raises(BulkheadFull, match=r"had no place within 0.05 s"):
        asyncio.run(bulkhead.call_async(asyncio.sleep, 0))
    assert bulkhead.waiting == 0
    gate.let_go()
    thread.join(DEADLINE_S)
    assert bulkhead.running == 0


def test_threads_and_tasks_get_their_places_in_the_order_in_which_they_came() -> None:
    bulkhead, gate = Bulkhead("gateway", concurrent=1, waiting=4, wait_s=DEADLINE_S), Gate()
    came: list[str] = []

    async def note(name: str) -> None:
        came.append(name)

    threads = [threading.Thread(target=bulkhead.call, args=(gate.stay,))]
    threads[0].start()
    assert gate.inside.acquire(timeout=DEADLINE_S)
    for number, name in enumerate(["thread 1", "task 2", "thread 3", "task 4"]):
        if name.startswith("thread"):
            thread = threading.Thread(target=bulkhead.call, args=(came.append, name))
        else:
            thread = threading.Thread(target=asyncio.run, args=(bulkhead.call_async(note, name),))
        thread.start()
        threads.append(thread)
        until(lambda number=number: bulkhead.waiting == number + 1)
    gate.let_go()
    for thread in threads:
        thread.join(DEADLINE_S)
    assert came == ["thread 1", "task 2", "thread 3", "task 4"]


def test_a_task_that_is_cancelled_in_line_costs_no_place() -> None:
    async def scenario() -> None:
        bulkhead, let_go = Bulkhead("gateway", concurrent=1, waiting=2, wait_s=DEADLINE_S), asyncio.Event()
        holder = asyncio.create_task(bulkhead.call_async(let_go.wait))
        await asyncio.sleep(0)
        impatient = asyncio.create_task(bulkhead.call_async(asyncio.sleep, 0))
        patient = asyncio.create_task(bulkhead.call_async(asyncio.sleep, 0, "answer"))
        await asyncio.sleep(0)
        assert bulkhead.waiting == 2
        impatient.cancel()
        let_go.set()
        assert await patient == "answer"
        await holder
        with pytest.raises(asyncio.CancelledError):
            await impatient
        assert (bulkhead.running, bulkhead.waiting) == (0, 0)

    asyncio.run(scenario())


def test_a_place_that_is_handed_to_a_task_in_the_moment_of_its_cancelling_goes_on_to_the_next() -> None:
    async def scenario() -> None:
        bulkhead, let_go = Bulkhead("gateway", concurrent=1, waiting=2, wait_s=DEADLINE_S), asyncio.Event()
        holder = asyncio.create_task(bulkhead.call_async(let_go.wait))
        await asyncio.sleep(0)
        unlucky = asyncio.create_task(bulkhead.call_async(asyncio.sleep, 0))
        next_one = asyncio.create_task(bulkhead.call_async(asyncio.sleep, 0, "answer"))
        await asyncio.sleep(0)
        let_go.set()
        await holder  # its place is now the unlucky one's, which does not know it yet
        unlucky.cancel()
        assert await next_one == "answer"
        assert bulkhead.running == 0

    asyncio.run(scenario())


def test_a_place_is_not_handed_to_a_task_whose_loop_is_gone() -> None:
    bulkhead, gate = Bulkhead("gateway", concurrent=1, waiting=2, wait_s=DEADLINE_S), Gate()
    thread = threading.Thread(target=bulkhead.call, args=(gate.stay,))
    thread.start()
    assert gate.inside.acquire(timeout=DEADLINE_S)
    loop = asyncio.new_event_loop()
    lost = loop.create_task(bulkhead.call_async(asyncio.sleep, 0))
    loop.run_until_complete(asyncio.sleep(0))
    assert bulkhead.waiting == 1
    loop.close()  # without ending its tasks
    gate.let_go()
    thread.join(DEADLINE_S)
    assert bulkhead.call(lambda: "answer") == "answer"
    lost._log_destroy_pending = False  # type: ignore[attr-defined]
    assert bulkhead.running == 0


@pytest.mark.parametrize("seed", range(5))
def test_no_place_is_lost_and_none_is_given_twice_whatever_is_cancelled(seed: int) -> None:
    async def scenario() -> None:
        dice = random.Random(seed)
        bulkhead = Bulkhead("gateway", concurrent=3, waiting=5, wait_s=0.002)
        most = inside = 0

        async def work() -> None:
            nonlocal most, inside
            inside += 1
            most = max(most, inside)
            try:
                await asyncio.sleep(dice.random() * 0.002)
            finally:
                inside -= 1

        tasks = []
        for _ in range(400):
            tasks.append(asyncio.create_task(bulkhead.call_async(work)))
            if dice.random() < 0.3:
                dice.choice(tasks).cancel()
            if dice.random() < 0.3:
                await asyncio.sleep(dice.random() * 0.001)
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(one is None or isinstance(one, BulkheadFull | asyncio.CancelledError) for one in results)
        assert most == 3
        assert (bulkhead.running, bulkhead.waiting) == (0, 0)

    asyncio.run(scenario())


def test_settings_that_cannot_work_are_refused() -> None:
    with pytest.raises(PolicyError, match="concurrent must be a whole number, 1 or more"):
        Bulkhead("gateway", concurrent=0)
    with pytest.raises(PolicyError, match="waiting must be a whole number, 0 or more"):
        Bulkhead("gateway", waiting=-1)
    with pytest.raises(PolicyError, match="wait_s must be a number, 0 or more"):
        Bulkhead("gateway", wait_s=-1)
