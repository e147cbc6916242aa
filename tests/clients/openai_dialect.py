"""Runs the official OpenAI client against a live server: models, pictures, and chat if a model is there.

PLAYHOUSE_URL and PLAYHOUSE_ANON_KEY say where; PLAYHOUSE_CHAT_MODEL_THERE=1 that chat must work. Exits non-zero unless
every check holds.
"""

import base64
import io
import os

import httpx
import openai
from checks import SERVICE_KEY, URL, check, client, new_user, report, same

user_id, _, ann = new_user("openai")
client(SERVICE_KEY).from_("profiles").update({"token_balance": 100}).eq("id", user_id).execute()
made = ann.functions.invoke("create-api-token", {"body": {"name": "python"}, "responseType": "json"})
ai = openai.OpenAI(base_url=f"{URL}/v1", api_key=made["token"], max_retries=0)
HAS_CHAT = os.environ.get("PLAYHOUSE_CHAT_MODEL_THERE") == "1"


def character():
    """A character of the account, as a model."""
    row = {"user_id": user_id, "name": "Mira", "description": "Keeps the light.", "is_public": False}
    return "character:" + ann.from_("characters").insert(row).execute().data[0]["id"]


@check("models are listed and read")
def models():
    mira = character()
    ids = [model.id for model in ai.models.list()]
    assert "starter" in ids and mira in ids, ids
    same(ai.models.retrieve(mira).id, mira)
    try:
        ai.models.retrieve("gpt-0")
        raise AssertionError("there is no such model")
    except openai.NotFoundError as error:
        same(error.code, "model_not_found")


@check("a wrong token and a wrong field are different errors")
def refusals():
    try:
        openai.OpenAI(base_url=f"{URL}/v1", api_key="ph_wrong", max_retries=0).models.list()
        raise AssertionError("the token is wrong")
    except openai.AuthenticationError as error:
        same(error.code, "invalid_api_key")
    try:
        ai.images.generate(prompt="a hill", size="63x64")
        raise AssertionError("the size is wrong")
    except openai.BadRequestError as error:
        same((error.param, error.type), ("size", "invalid_request_error"))


@check("pictures are drawn and drawn anew")
def pictures():
    extra = {"seed": 7, "steps": 2, "negative_prompt": "rain"}
    drawn = ai.images.generate(model="starter", prompt="a red hill", n=2, size="64x64", response_format="b64_json", extra_body=extra)
    same(len(drawn.data), 2)
    png = base64.b64decode(drawn.data[0].b64_json)
    assert png.startswith(b"\x89PNG"), png[:8]
    linked = ai.images.generate(model="starter", prompt="a red hill", size="64x64", extra_body=extra)
    same(httpx.get(linked.data[0].url).content, png)
    picture = io.BytesIO(png)
    picture.name = "hill.png"
    edited = ai.images.edit(image=picture, prompt="a blue hill", size="64x64", response_format="b64_json", extra_body={"steps": 4, "seed": 1})
    assert base64.b64decode(edited.data[0].b64_json) != png


@check("chat answers whole and streamed, or says why it cannot")
def chat():
    messages = [{"role": "user", "content": "Say hello."}]
    if not HAS_CHAT:
        try:
            ai.chat.completions.create(model=character(), messages=messages)
            raise AssertionError("there is no chat model")
        except openai.InternalServerError as error:
            same((error.status_code, error.code), (503, "no_chat_model"))
        return
    asked = {"messages": messages, "max_tokens": 16, "seed": 3, "temperature": 0}
    chats = [model.id for model in ai.models.list() if model.kind == "chat" and not model.id.startswith("character:")]
    for model in [chats[0], character()]:
        whole = ai.chat.completions.create(model=model, **asked)
        text = whole.choices[0].message.content
        assert text and whole.usage.completion_tokens <= 16, whole
        pieces, usage = [], None
        for chunk in ai.chat.completions.create(model=model, stream=True, stream_options={"include_usage": True}, **asked):
            usage = chunk.usage or usage
            pieces += [choice.delta.content or "" for choice in chunk.choices]
        same("".join(pieces), text)
        assert usage and usage.total_tokens == whole.usage.total_tokens, usage


report()
