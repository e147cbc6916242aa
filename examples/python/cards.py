"""A character card comes in, is edited as a row, and goes out as PNG: python cards.py [card.json [card.png]]"""

import json
import os
import sys
import uuid

from supabase import create_client

CARD = {
    "spec": "chara_card_v2",
    "spec_version": "2.0",
    "data": {
        "name": "Mira",
        "description": "Mira keeps the lighthouse of a small island.",
        "personality": "calm",
        "first_mes": "The storm is early this year.",
    },
}

playhouse = create_client(os.environ["PLAYHOUSE_URL"], os.environ["PLAYHOUSE_ANON_KEY"])
playhouse.auth.sign_up({"email": f"{uuid.uuid4()}@example.com", "password": "correct horse"})


def call(function, body, answer="json"):
    return playhouse.functions.invoke(function, {"body": body, "responseType": answer})


if len(sys.argv) > 1:
    with open(sys.argv[1], encoding="utf-8") as file:
        CARD = json.load(file)
imported = call("import-character", CARD)
print("imported:", imported["character"]["name"], "warnings:", imported["warnings"])

# A character is a row like any other.
id = imported["characterId"]
playhouse.table("characters").update({"voice_tone": "dry"}).eq("id", id).execute()
rows = playhouse.table("characters").select("name,voice_tone,first_message").ilike("description", "%lighthouse%").execute()
print("found:", rows.data)

path = sys.argv[2] if len(sys.argv) > 2 else "card.png"
with open(path, "wb") as file:
    file.write(call("export-character", {"characterId": id, "format": "png"}, "bytes"))
print("exported:", path)
