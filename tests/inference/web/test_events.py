"""News reach every page, in order; a page that doesn't read is told to look anew."""

import asyncio
import json
import threading
from typing import Any

from inference.web.events import Events


async def take(stream: Any, count: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while len(found) < count:
        text = await asyncio.wait_for(anext(stream), 10)
        if text.startswith("data: "):
            assert text.endswith("\n\n")
            found.append(json.loads(text[6:]))
    return found


def test_two_pages_get_what_a_thread_publishes() -> None:
    events = Events()

    def publish() -> None:
        for n in range(3):
            events.publish({"type": "x", "n": n})

    async def main() -> list[list[dict[str, Any]]]:
        streams = [events.stream(), events.stream()]
        for stream in streams:
            assert (await anext(stream)).startswith("retry")
        thread = threading.Thread(target=publish)
        thread.start()
        taken = [await take(stream, 3) for stream in streams]
        thread.join()
        events.close()
        for stream in streams:
            assert [message["type"] for message in await take(stream, 1)] == ["closed"]
            assert [text async for text in stream] == []
        return taken

    first, second = asyncio.run(main())
    assert first == second == [{"type": "x", "n": n} for n in range(3)]
    events.publish({"type": "x"})  # no page is open


def test_a_page_that_does_not_read_is_told_to_look_anew() -> None:
    events = Events()

    async def main() -> list[dict[str, Any]]:
        stream = events.stream()
        await anext(stream)
        for n in range(300):
            events.publish({"type": "x", "n": n})
        await asyncio.sleep(0)
        taken = await take(stream, 1)
        await stream.aclose()
        return taken

    assert asyncio.run(main()) == [{"type": "refresh"}]
