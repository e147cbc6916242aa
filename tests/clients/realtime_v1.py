"""Runs the official Python client's realtime calls (protocol 1.0.0) against a live server.

PLAYHOUSE_URL, PLAYHOUSE_ANON_KEY, PLAYHOUSE_SERVICE_KEY say where; exits non-zero unless every check holds.
"""

import asyncio

from checks import ANON_KEY, SERVICE_KEY, URL, check, new_user, report, same
from realtime import AsyncRealtimeClient
from realtime.types import RealtimeSubscribeStates

PATIENCE_S = 60
alice_id, _, alice = new_user("alice")
bob_id, _, bob = new_user("bob")


async def connect(token, key=ANON_KEY):
    """A realtime client that speaks for a token."""
    client = AsyncRealtimeClient(f"{URL}/realtime/v1", token=key)
    await client.connect()
    await client.set_auth(token)
    return client


def token(client):
    """The access token of a signed-in client."""
    return client.auth.get_session().access_token


async def subscribed(channel):
    """Subscribes and waits until the server has said what it thinks of the bindings."""
    states, told = asyncio.Queue(), asyncio.Queue()
    channel.on_system(told.put_nowait)
    await channel.subscribe(lambda state, error: states.put_nowait((state, error)))
    state, error = await asyncio.wait_for(states.get(), PATIENCE_S)
    assert state == RealtimeSubscribeStates.SUBSCRIBED, f"{state}: {error}"
    return told, states


def conversation(client, user, title):
    """A new conversation's id."""
    return client.table("conversations").insert({"user_id": user, "title": title}).execute().data[0]["id"]


def run(name):
    """Runs the decorated coroutine as one named check."""

    def decorate(work):
        check(name)(lambda: asyncio.run(asyncio.wait_for(work(), PATIENCE_S)))
        return work

    return decorate


@run("changes arrive under the policies of two users")
async def changes():
    own, other = await connect(token(alice)), await connect(token(bob))
    heard = {}
    for name, client in [("alice", own), ("bob", other)]:
        queue = heard[name] = asyncio.Queue()
        channel = client.channel("talks")
        channel.on_postgres_changes("*", queue.put_nowait, table="conversations", schema="public")
        told, _ = await subscribed(channel)
        same((await asyncio.wait_for(told.get(), PATIENCE_S)).status, "ok")
    first = conversation(alice, alice_id, "of alice")
    alice.table("conversations").update({"title": "changed"}).eq("id", first).execute()
    alice.table("conversations").delete().eq("id", first).execute()
    conversation(bob, bob_id, "of bob")
    found = [(await heard["alice"].get())["data"] for _ in range(3)]
    same([change["type"].value if hasattr(change["type"], "value") else change["type"] for change in found],
         ["INSERT", "UPDATE", "DELETE"])
    same(found[0]["record"]["title"], "of alice")
    same((found[1]["record"]["title"], found[1]["old_record"]), ("changed", {"id": first}))
    same(found[2]["old_record"], {"id": first})
    same((await heard["bob"].get())["data"]["record"]["title"], "of bob")
    await own.close()
    await other.close()


@run("filters and chosen columns")
async def filters():
    client = await connect(SERVICE_KEY, SERVICE_KEY)
    queue = asyncio.Queue()
    channel = client.channel("filters")
    channel.on_postgres_changes("INSERT", queue.put_nowait, table="conversations", schema="public",
                                filter="title=like.wanted%,user_id=eq." + alice_id, select=["title"])
    await subscribed(channel)
    conversation(alice, alice_id, "other")
    conversation(bob, bob_id, "wanted by bob")
    conversation(alice, alice_id, "wanted")
    same((await queue.get())["data"]["record"], {"title": "wanted"})
    await client.close()


@run("a wrong binding is an error with its reason")
async def wrong():
    client = await connect(token(alice))
    states = asyncio.Queue()
    channel = client.channel("wrong")
    channel.on_postgres_changes("*", lambda _: None, table="nothing", schema="public")
    await channel.subscribe(lambda state, error: states.put_nowait((state, error)))
    state, error = await states.get()
    same(state, RealtimeSubscribeStates.CHANNEL_ERROR)
    assert "nothing" in str(error), error
    await client.close()


@run("broadcasts with and without self, and without a socket")
async def broadcasts():
    loud, quiet = await connect(token(alice)), await connect(token(bob))
    heard = {"loud": asyncio.Queue(), "quiet": asyncio.Queue()}
    config = {"config": {"broadcast": {"ack": True, "self": True}, "presence": None, "private": False}}
    room = loud.channel("py-room", config).on_broadcast("move", heard["loud"].put_nowait)
    await subscribed(room)
    other = quiet.channel("py-room").on_broadcast("move", heard["quiet"].put_nowait)
    await subscribed(other)
    await room.send_broadcast("move", {"x": 1, "name": "é"})
    for queue in heard.values():
        same((await queue.get())["payload"], {"x": 1, "name": "é"})
    await other.send_broadcast("move", {"x": 2})
    same((await heard["loud"].get())["payload"], {"x": 2})
    await room.http_send("move", {"x": 3})
    same((await heard["quiet"].get())["payload"], {"x": 3})
    await loud.close()
    await quiet.close()


@run("presence: join, update, leave")
async def presence():
    one, two = await connect(token(alice)), await connect(token(bob))

    def lobby(client, key):
        changed = asyncio.Event()
        config = {"config": {"broadcast": None, "presence": {"key": key, "enabled": True}, "private": False}}
        channel = client.channel("py-lobby", config)
        channel.on_presence_sync(changed.set)
        return channel, changed

    (first, _), (second, changed) = lobby(one, "alice"), lobby(two, "bob")
    await subscribed(first)
    await subscribed(second)

    async def until(holds):
        while not holds(second.presence_state()):
            changed.clear()
            await changed.wait()

    await first.track({"at": 1})
    await second.track({"at": 2})
    await until(lambda state: set(state) == {"alice", "bob"})
    await first.track({"at": 3})
    await until(lambda state: [entry.get("at") for entry in state.get("alice", [])] == [3])
    await one.close()
    await until(lambda state: set(state) == {"bob"})
    await two.close()


@run("a lost connection is made again, and the channel joins again")
async def reconnecting():
    client = await connect(token(alice))
    queue = asyncio.Queue()
    channel = client.channel("again")
    channel.on_postgres_changes("*", queue.put_nowait, table="conversations", schema="public")
    told, states = await subscribed(channel)
    await told.get()
    await client._ws_connection.close()
    await told.get()
    conversation(alice, alice_id, "heard")
    same((await queue.get())["data"]["record"]["title"], "heard")
    await client.close()


report()
