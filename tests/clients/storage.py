"""Runs the official Python client's storage calls against a live server.

PLAYHOUSE_URL, PLAYHOUSE_ANON_KEY, PLAYHOUSE_SERVICE_KEY say where; exits non-zero unless every check holds.
"""

import uuid

import httpx
from checks import SERVICE_KEY, check, client, new_user, refused, report, same
from storage3.exceptions import StorageApiError

alice_id, _, alice = new_user("alice")
_, _, bob = new_user("bob")
service = client(SERVICE_KEY).storage
own = alice.storage.from_("user-library")


def path(name):
    """A path in Alice's folder."""
    return f"{alice_id}/{name}"


@check("buckets are made, listed, changed, emptied and deleted")
def buckets():
    name = f"made-{uuid.uuid4()}"
    service.create_bucket(name, options={"public": False, "file_size_limit": 1000})
    same(service.get_bucket(name).file_size_limit, 1000)
    assert any(bucket.id == name for bucket in service.list_buckets())
    service.update_bucket(name, {"public": True})
    same(service.get_bucket(name).public, True)
    service.from_(name).upload("a.txt", b"x", {"content-type": "text/plain"})
    service.empty_bucket(name)
    service.delete_bucket(name)
    refused(StorageApiError, "Bucket not found", lambda: service.get_bucket(name))


@check("files go up and come down")
def files():
    options = {"content-type": "image/png", "cache-control": "60"}
    same(own.upload(path("f/a b.png"), b"hello", options).path, path("f/a b.png"))
    same(own.download(path("f/a b.png")), b"hello")
    error = refused(StorageApiError, "Duplicate", lambda: own.upload(path("f/a b.png"), b"x", options))
    same(str(error.status), "409")
    own.upload(path("f/a b.png"), b"again", {**options, "upsert": "true"})
    own.update(path("f/a b.png"), b"third", options)
    same(own.download(path("f/a b.png")), b"third")
    same([entry["name"] for entry in own.list(path("f"))], ["a b.png"])
    same(own.info(path("f/a b.png"))["size"], 5)
    same(own.exists(path("f/a b.png")), True)
    same(own.exists(path("nothing")), False)


@check("files are moved, copied and removed")
def moves():
    own.move(path("f/a b.png"), path("g/b.png"))
    own.copy(path("g/b.png"), path("g/c.png"))
    same(sorted(entry["name"] for entry in own.list(path("g"))), ["b.png", "c.png"])
    same(bob.storage.from_("user-library").remove([path("g/b.png")]), [])
    same([entry["name"] for entry in own.remove([path("g/b.png")])], [path("g/b.png")])


@check("signed URLs open one file to anybody")
def signed():
    own.upload(path("s p.png"), b"signed", {"content-type": "image/png"})
    same(httpx.get(own.create_signed_url(path("s p.png"), 60)["signedURL"]).content, b"signed")
    several = own.create_signed_urls([path("s p.png"), path("nothing")], 60)
    same(httpx.get(several[0]["signedURL"]).content, b"signed")
    assert several[1]["error"], several
    upload = own.create_signed_upload_url(path("up.png"))
    client().storage.from_("user-library").upload_to_signed_url(
        upload["path"], upload["token"], b"up", {"content-type": "image/png"}
    )
    same(own.download(path("up.png")), b"up")
    refused(StorageApiError, "not_found", lambda: bob.storage.from_("user-library").create_signed_url(path("up.png"), 60))


@check("public buckets need no key, and a stranger's folder takes nothing")
def public():
    alice.storage.from_("avatars").upload(path("me.png"), b"me", {"content-type": "image/png"})
    same(httpx.get(alice.storage.from_("avatars").get_public_url(path("me.png"))).content, b"me")
    bobs = bob.storage.from_("avatars")
    refused(StorageApiError, "Unauthorized", lambda: bobs.upload(path("x.png"), b"x", {"content-type": "image/png"}))


report()
