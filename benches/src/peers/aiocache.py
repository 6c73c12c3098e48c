"""aiocache 0.12.3's `@cached` over Redis: calls a second at the given numbers of tasks."""
import asyncio
import sys
import time

from aiocache import Cache, cached
from aiocache.serializers import JsonSerializer

host, port, password = sys.argv[1], int(sys.argv[2]), sys.argv[3]


@cached(
    ttl=3600,
    cache=Cache.REDIS,
    key_builder=lambda function, id: f"aio:{id}",
    serializer=JsonSerializer(),
    endpoint=host,
    port=port,
    password=password,
    namespace="aio",
)
async def profile(id):
    return {"id": id, "name": f"User number {id}", "email": f"user.{id}@example.org", "text": "x" * 115}


async def measure(tasks, calls):
    async def one(first):
        for at in range(calls // tasks):
            await profile((first * 7 + at) % 1000)

    start = time.perf_counter()
    await asyncio.gather(*(one(first) for first in range(tasks)))
    return calls // tasks * tasks / (time.perf_counter() - start)


async def main():
    for id in range(1000):
        await profile(id)
    for tasks in map(int, sys.argv[4:]):
        print(tasks, await measure(tasks, 4000))


asyncio.run(main())
