"""A picture and a chat through OpenAI's client: python openai_client.py [picture.png]"""

import base64
import os
import sys
import uuid

from openai import OpenAI
from supabase import create_client

URL, ANON_KEY = os.environ["PLAYHOUSE_URL"], os.environ["PLAYHOUSE_ANON_KEY"]

# Programs come in with a token of an account; it opens /v1 and nothing else.
account = create_client(URL, ANON_KEY)
user = account.auth.sign_up({"email": f"{uuid.uuid4()}@example.com", "password": "correct horse"}).user
token = account.functions.invoke("create-api-token", {"body": {"name": "example"}, "responseType": "json"})
ai = OpenAI(base_url=f"{URL}/v1", api_key=token["token"])

picture = ai.images.generate(
    prompt="a robot waving in a forest, sunset",
    size="64x64",
    response_format="b64_json",
    extra_body={"seed": 7},
)
path = sys.argv[1] if len(sys.argv) > 1 else "picture.png"
with open(path, "wb") as file:
    file.write(base64.b64decode(picture.data[0].b64_json))
print(path)

# A character as the model: its sheet and its lorebook go into the prompt.
row = {"user_id": user.id, "name": "Mira", "description": "Mira keeps a lighthouse.", "is_public": False}
mira = account.table("characters").insert(row).execute().data[0]
chat = ai.chat.completions.create(
    model=f"character:{mira['id']}",
    messages=[{"role": "user", "content": "Is the light on?"}],
    max_tokens=60,
    stream=True,
)
for chunk in chat:
    if chunk.choices:
        print(chunk.choices[0].delta.content or "", end="", flush=True)
print()
