"""Tokens that end while a socket of protocol 1.0.0 is open. PLAYHOUSE_TOKEN_S says how long they live."""

import asyncio
import os

from checks import ANON_KEY, URL, check, new_user, report, same
from realtime import AsyncRealtimeClient
from realtime.types import RealtimeSubscribeStates

SECONDS = float(os.environ["PLAYHOUSE_TOKEN_S"])
user_id, _, user = new_user("dora")


async def renewal():
    """A channel outlives its first token by the second, and ends with that."""
    client = AsyncRealtimeClient(f"{URL}/realtime/v1", token=ANON_KEY)
    await client.connect()
    await client.set_auth(user.auth.get_session().access_token)
    states, changes = asyncio.Queue(), asyncio.Queue()
    channel = client.channel("short")
    channel.on_postgres_changes("*", changes.put_nowait, table="conversations", schema="public")
    await channel.subscribe(lambda state, error: states.put_nowait((state, error)))
    same((await states.get())[0], RealtimeSubscribeStates.SUBSCRIBED)
    await asyncio.sleep(SECONDS * 0.6)
    await client.set_auth(user.auth.refresh_session().session.access_token)
    await asyncio.sleep(SECONDS * 0.6)
    user.table("conversations").insert({"user_id": user_id, "title": "t"}).execute()
    same((await changes.get())["data"]["record"]["title"], "t")
    state, error = await states.get()
    same(state, RealtimeSubscribeStates.CHANNEL_ERROR)
    assert "expired" in str(error), error
    await client.close()


check("a renewed token keeps the channel, one that is not renewed ends it")(
    lambda: asyncio.run(asyncio.wait_for(renewal(), 120))
)
report()
