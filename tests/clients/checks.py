"""Counts what holds and what does not; one failed check does not stop the others."""

import os
import sys
import traceback
import uuid

from supabase import Client, ClientOptions, create_client

PASSWORD = "correct horse"
_counts = {"passed": 0, "failed": 0}


def setting(name):
    """What the environment says, which it must."""
    value = os.environ.get(name)
    if not value:
        sys.exit(f"{name} is not set")
    return value


URL = setting("PLAYHOUSE_URL").rstrip("/")
ANON_KEY = setting("PLAYHOUSE_ANON_KEY")
SERVICE_KEY = setting("PLAYHOUSE_SERVICE_KEY")


def check(name):
    """Runs the decorated function as one named check."""

    def run(function):
        try:
            function()
            _counts["passed"] += 1
        except Exception as error:  # noqa: BLE001 - whatever goes wrong is the finding
            _counts["failed"] += 1
            where = traceback.extract_tb(error.__traceback__)[1 if error.__traceback__.tb_next else 0]
            print(f"FAILED {name}\n       line {where.lineno}: {type(error).__name__} {str(error)[:600]}")
        return function

    return run


def section(run, *given):
    """Runs a group of checks; what it needs before its checks counts as one."""
    try:
        run(*given)
    except Exception as error:  # noqa: BLE001
        _counts["failed"] += 1
        print(f"FAILED to set up {run.__name__}\n       {type(error).__name__} {str(error)[:600]}")


def same(found, expected):
    """Asserts equality and shows both."""
    assert found == expected, f"expected {expected!r}, found {found!r}"


def refused(error_type, code, call):
    """Asserts that a call raises this error with this code; returns the error."""
    try:
        answer = call()
    except error_type as error:
        same(error.code, code)
        return error
    raise AssertionError(f"expected {code}, got {answer!r}")


def client(key=ANON_KEY) -> Client:
    """A client that keeps its session to itself."""
    return create_client(URL, key, ClientOptions(auto_refresh_token=False, persist_session=True))


def new_user(name):
    """A signed-up user's id and address, and a client of its own."""
    own = client()
    email = f"{name}-{uuid.uuid4()}@example.com"
    answer = own.auth.sign_up({"email": email, "password": PASSWORD})
    assert answer.session, "sign-up gives a session"
    return answer.user.id, email, own


def report():
    """Prints the count and ends the process with what it means."""
    print(f"{_counts['passed']} passed, {_counts['failed']} failed")
    sys.exit(1 if _counts["failed"] else 0)
