"""Runs the official Python client's auth and table calls against a live server.

PLAYHOUSE_URL, PLAYHOUSE_ANON_KEY, PLAYHOUSE_SERVICE_KEY say where; exits non-zero unless every check holds.
"""

import uuid

from checks import PASSWORD, SERVICE_KEY, check, client, new_user, refused, report, same, section
from postgrest.exceptions import APIError
from supabase_auth.errors import AuthApiError, AuthError


def auth():
    """Signs up, in and out."""
    own = client()
    email = f"mira-{uuid.uuid4()}@example.com"

    @check("sign-up gives a confirmed user and a session")
    def _():
        asked = {"email": email, "password": PASSWORD, "options": {"data": {"nick": "m", "old": 1}}}
        answer = own.auth.sign_up(asked)
        same(answer.user.email, email)
        same(answer.user.user_metadata["nick"], "m")
        same(answer.session.token_type, "bearer")
        assert answer.user.email_confirmed_at and answer.session.refresh_token

    @check("a second sign-up is refused")
    def _():
        again = {"email": email, "password": PASSWORD}
        refused(AuthApiError, "user_already_exists", lambda: client().auth.sign_up(again))

    @check("a weak password is refused")
    def _():
        weak = {"email": f"w-{email}", "password": "12345"}
        refused(AuthError, "weak_password", lambda: client().auth.sign_up(weak))

    @check("sign-in gives a session, a wrong password none")
    def _():
        answer = client().auth.sign_in_with_password({"email": email, "password": PASSWORD})
        same(answer.session.user.email, email)
        wrong = {"email": email, "password": "wrong-one"}
        error = refused(AuthApiError, "invalid_credentials", lambda: client().auth.sign_in_with_password(wrong))
        same(error.message, "Invalid login credentials")

    @check("get_user and get_claims tell who is signed in")
    def _():
        user = own.auth.get_user().user
        same(user.email, email)
        same(own.auth.get_claims()["claims"]["sub"], user.id)

    @check("update_user merges metadata and changes the password")
    def _():
        user = own.auth.update_user({"data": {"mood": "calm", "old": None}}).user
        same((user.user_metadata["nick"], user.user_metadata["mood"]), ("m", "calm"))
        assert "old" not in user.user_metadata, "null deletes a key"
        own.auth.update_user({"password": "secret34"})
        client().auth.sign_in_with_password({"email": email, "password": "secret34"})

    @check("a refresh rotates the session")
    def _():
        before = own.auth.get_session().refresh_token
        after = own.auth.refresh_session().session.refresh_token
        assert before != after
        same(own.auth.get_user().user.email, email)

    @check("an unknown refresh token is refused")
    def _():
        refused(AuthApiError, "refresh_token_not_found", lambda: client().auth.refresh_session("nothing"))

    @check("signing out ends the session")
    def _():
        token = own.auth.get_session().refresh_token
        own.auth.sign_out()
        same(own.auth.get_session(), None)
        try:
            client().auth.refresh_session(token)
        except AuthApiError:
            return
        raise AssertionError("an ended session was refreshed")


def admin():
    """Creates, lists, changes and deletes accounts with the service key."""
    service = client(SERVICE_KEY).auth.admin
    email = f"made-{uuid.uuid4()}@example.com"
    made = {}

    @check("an admin creates a confirmed user")
    def _():
        asked = {"email": email, "password": "x1234567", "email_confirm": True, "user_metadata": {"a": 1}}
        made["id"] = service.create_user(asked).user.id
        same(client().auth.sign_in_with_password({"email": email, "password": "x1234567"}).user.id, made["id"])
        refused(AuthApiError, "email_exists", lambda: service.create_user(asked))

    @check("an admin lists, reads and changes users")
    def _():
        same(len(service.list_users(page=1, per_page=1)), 1)
        same(service.get_user_by_id(made["id"]).user.email, email)
        changed = service.update_user_by_id(made["id"], {"user_metadata": {"b": 2}}).user
        same(changed.user_metadata["b"], 2)

    @check("a generated link signs in")
    def _():
        link = service.generate_link({"type": "magiclink", "email": email})
        same(link.properties.verification_type, "magiclink")
        session = client().auth.verify_otp({"token_hash": link.properties.hashed_token, "type": "magiclink"}).session
        same(session.user.id, made["id"])

    @check("a deleted user is gone")
    def _():
        service.delete_user(made["id"])
        refused(AuthApiError, "user_not_found", lambda: service.get_user_by_id(made["id"]))

    @check("only the service key may do this")
    def _():
        try:
            client().auth.admin.list_users()
        except AuthApiError as error:
            assert error.status in (401, 403), f"status {error.status}"
            return
        raise AssertionError("the anonymous key listed users")


def tables(alice, bob, own, other):
    """Writes and reads one user's rows, and another's attempts at them."""
    characters = lambda: own.table("characters")  # noqa: E731
    row = lambda name, **more: {"name": name, "description": "d", "user_id": alice, "is_public": False, **more}  # noqa: E731
    names = lambda answer: [found["name"] for found in answer.data]  # noqa: E731
    key = str(uuid.uuid4())

    @check("an insert answers the row, or nothing if asked")
    def _():
        [made] = characters().insert(row("P1", id=key, physical_traits={"a": [1, None]})).execute().data
        same((made["id"], made["physical_traits"], made["gender"]), (key, {"a": [1, None]}, "unspecified"))
        same(characters().insert(row("P2", mood='c"d', seed_locked=3), returning="minimal").execute().data, [])

    @check("a bulk insert fills missing keys with defaults if asked")
    def _():
        rows = [row("P3", gender="male"), row("P4", mood="a,b")]
        made = characters().insert(rows, default_to_null=False, count="exact").execute()
        same(sorted(found["gender"] for found in made.data), ["male", "unspecified"])
        same(made.count, 2)

    @check("filters find what they should")
    def _():
        mine = lambda: characters().select("name").eq("user_id", alice)  # noqa: E731
        for expected, query in [
            (["P1"], mine().eq("name", "P1")),
            (["P2", "P4"], mine().in_("mood", ["a,b", 'c"d'])),
            (["P1", "P3"], mine().is_("mood", "null")),
            (["P2", "P4"], mine().not_.is_("mood", "null")),
            (["P1", "P2"], mine().or_("name.eq.P1,and(seed_locked.gt.2,mood.neq.x)")),
            (["P1"], mine().contains("physical_traits", {"a": [1]})),
            (["P3", "P4"], mine().like_any_of("name", "%3,%4")),
            (["P2"], mine().gte("seed_locked", 3).lte("seed_locked", 3)),
            (["P1", "P2", "P3", "P4"], mine().ilike("name", "p%")),
        ]:
            same(names(query.order("name").execute()), expected)

    @check("order places nulls, pages count")
    def _():
        query = characters().select("name", count="exact").eq("user_id", alice)
        page = query.order("seed_locked", desc=True, nullsfirst=False).order("name").range(0, 1).execute()
        same((names(page), page.count), (["P2", "P1"], 4))
        head = characters().select("*", count="exact", head=True).eq("user_id", alice).execute()
        same((head.count, head.data), (4, []))

    @check("single and maybe_single")
    def _():
        one = characters().select("name").eq("id", key)
        same(one.single().execute().data, {"name": "P1"})
        nobody = lambda: characters().select("name").eq("id", str(uuid.uuid4()))  # noqa: E731
        refused(APIError, "PGRST116", lambda: nobody().single().execute())
        none = nobody().maybe_single().execute()
        assert none is None or none.data is None

    @check("CSV")
    def _():
        text = characters().select("name,mood").eq("name", "P4").csv().execute().data
        same(text.rstrip("\n"), 'name,mood\nP4,"a,b"')

    @check("embeds")
    def _():
        own.table("character_scenes").insert({"character_id": key, "scene_prompt": "dawn"}).execute()
        talk = own.table("conversations").insert({"user_id": alice, "title": "T", "character_id": key}).execute().data[0]
        own.table("messages").insert({"conversation_id": talk["id"], "sender": "user", "content": "hi"}).execute()
        select = "title, character:characters!character_id(name, character_scenes(scene_prompt)), messages(count)"
        expected = {
            "title": "T",
            "character": {"name": "P1", "character_scenes": [{"scene_prompt": "dawn"}]},
            "messages": [{"count": 1}],
        }
        same(own.table("conversations").select(select).eq("character.name", "P1").single().execute().data, expected)
        own.table("conversations").delete().eq("id", talk["id"]).execute()

    @check("upsert merges or ignores")
    def _():
        same(characters().upsert(row("P1b", id=key)).execute().data[0]["name"], "P1b")
        same(characters().upsert(row("no", id=key), on_conflict="id", ignore_duplicates=True).execute().data, [])

    @check("update and delete answer the rows")
    def _():
        changed = characters().update({"mood": "new"}, count="exact").eq("id", key).execute()
        same((changed.data[0]["mood"], changed.count), ("new", 1))
        gone = characters().delete().in_("name", ["P3", "P4"]).eq("user_id", alice).execute()
        same(sorted(names(gone)), ["P3", "P4"])
        same(len(characters().select("id").eq("user_id", alice).execute().data), 2)

    @check("writes without filters are refused")
    def _():
        refused(APIError, "21000", lambda: characters().update({"mood": "all"}).execute())
        refused(APIError, "21000", lambda: characters().delete().execute())

    @check("functions")
    def _():
        role = {"_user_id": alice, "_role": "basic_user"}
        same(own.rpc("has_role", role).execute().data, True)
        same(own.rpc("has_role", role, get=True).execute().data, True)
        same(own.rpc("get_safe_profile_view", {"profile_id": alice}).execute().data["id"], alice)
        refused(APIError, "PGRST202", lambda: own.rpc("no_such_function", {}).execute())

    @check("another user and nobody see and change nothing")
    def _():
        for as_ in (other, client()):
            same(as_.table("characters").select("*").eq("id", key).execute().data, [])
            same(as_.table("conversations").select("*").execute().data, [])
        forged = {"user_id": alice, "title": "forged"}
        refused(APIError, "42501", lambda: other.table("conversations").insert(forged).execute())
        refused(APIError, "42501", lambda: client().table("conversations").insert(forged).execute())
        same(client(SERVICE_KEY).table("characters").select("id").eq("id", key).execute().data, [{"id": key}])
        assert bob != alice

    @check("refusals have the dialect's codes")
    def _():
        for code, query in [
            ("PGRST205", own.table("no_such_table").select("*")),
            ("42703", characters().select("no_such_column")),
            ("PGRST204", characters().insert(row("x", no_such_column=1))),
            ("22P02", characters().select("*").eq("id", "x")),
            ("23505", characters().insert(row("x", id=key))),
            ("23514", characters().insert(row("x", gender="robot"))),
            ("23502", characters().insert({"description": "d", "user_id": alice})),
            ("PGRST200", characters().select("*, system_config(*)")),
            ("PGRST100", characters().select("name,,mood")),
        ]:
            refused(APIError, code, query.execute)


section(auth)
section(admin)
alice, _, own = new_user("alice")
bob, _, other = new_user("bob")
section(tables, alice, bob, own, other)
report()
