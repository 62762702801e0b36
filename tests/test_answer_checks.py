"""A strict schema that the provider does not hold its answer to: the answer is held against it when it has come."""

from __future__ import annotations

import json
from typing import Any

import gateway_process as gp
import httpx
import openai
import pytest
from response_stream import events, text_of

# The simulator answers with the prompt's last word, and with 1: it knows no lengths and no multiples.
FORM = {
    "type": "object",
    "properties": {"city": {"type": "string", "minLength": 40}, "people": {"type": "integer"}},
    "required": ["city", "people"],
    "additionalProperties": False,
}
TOOL = {"type": "function", "name": "get_weather", "parameters": FORM, "strict": True}
LOOSE_TOOL = TOOL | {"strict": False}
CALL = "Please call get_weather for Paris."
# Those that hold nobody to a length, each in its way: it is left out, put into words, or may be passed over.
UNHELD = [
    "anthropic/claude-sonnet-4-5",
    "gemini/gemini-2.5-flash",
    "mistral/mistral-large-latest",
    "deepseek/deepseek-chat",
]
BROKEN = "does not keep to the schema: `minLength` at /city"


def form(schema: dict[str, Any], *, strict: bool = True) -> dict[str, Any]:
    return {"format": {"type": "json_schema", "name": "town", "schema": schema, "strict": strict}}


def both(api: httpx.Client, **body: Any) -> list[dict[str, Any]]:
    """The response, plain and streamed."""
    answer = api.post("/v1/responses", json=body)
    assert answer.status_code == 200, answer.text
    return [answer.json(), events(api, **body)[-1]["response"]]


def broken(response: dict[str, Any]) -> list[str]:
    warnings = response["tokenrouter"]["warnings"]
    return [w["message"] for w in warnings if w["source"] == "translation" and "keep to the schema" in w["message"]]


@pytest.mark.parametrize("model", UNHELD)
def test_an_answer_that_breaks_its_schema_is_told_by_its_place(api: httpx.Client, model: str) -> None:
    for response in both(api, model=model, input="Which town? Rome", text=form(FORM)):
        assert response["status"] == "completed" and json.loads(text_of(response))["city"] == "Rome"
        assert broken(response) == [f"`text.format`: the answer {BROKEN}"]


@pytest.mark.parametrize("model", UNHELD)
def test_so_are_the_arguments_of_a_strict_function(api: httpx.Client, model: str) -> None:
    for response in both(api, model=model, input=CALL, tools=[TOOL]):
        assert broken(response) == [f"`tools`: a call of `get_weather` {BROKEN}"]
    for response in both(api, model=model, input=CALL, tools=[LOOSE_TOOL]):
        assert broken(response) == []


def test_what_the_provider_holds_to_is_not_told_of(api: httpx.Client) -> None:
    held = FORM | {"properties": {"city": {"type": "string"}, "people": {"type": "integer"}}}
    for model in (*UNHELD, "openai/gpt-4o"):
        [response, streamed] = both(api, model=model, input="Which town? Rome", text=form(held))
        assert broken(response) == broken(streamed) == []
    # What is not strict and was sent as it was given promises nothing.
    [response, _] = both(api, model="mistral/mistral-large-latest", input="Rome", text=form(FORM, strict=False))
    assert broken(response) == []


def test_to_who_wants_nothing_lost_it_is_an_error_and_a_stream_fails_at_its_end(
    gateway: gp.Gateway, workspace: str, api: httpx.Client, simulator: gp.Simulator, mark: str
) -> None:
    body = {"model": UNHELD[2], "input": "Which town? Rome", "text": form(FORM), "router_strict": True}
    answer = api.post("/v1/responses", json=body)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["provider"]) == (422, "schema_not_kept", "mistral")
    assert error["message"] == f"`text.format`: the answer {BROKEN}"
    last = events(api, **body)[-1]
    assert last["type"] == "response.failed"
    assert last["response"]["error"]["message"] == error["message"]
    # A client that tries again by itself would pay for each answer.
    with openai.OpenAI(api_key=workspace, base_url=f"{gateway.url}/v1", max_retries=2) as client:
        with pytest.raises(openai.UnprocessableEntityError):
            client.responses.create(
                model=UNHELD[2], input=f"{mark} Rome", text=form(FORM), extra_body={"router_strict": True}  # type: ignore[arg-type]
            )
    assert len(simulator.requests(mark)) == 1


def test_what_a_mask_has_broken_is_not_the_providers_fault(gateway: gp.Gateway, workspace: str) -> None:
    held = FORM | {"properties": {"city": {"type": "string", "maxLength": 4}, "people": {"type": "integer"}}}
    body = {"model": UNHELD[2], "input": "Which town? Rome", "text": form(held), "router_strict": False}
    with gateway.http(workspace) as api:
        assert not any(broken(response) for response in both(api, **body))
        rule = {"name": "r", "scope": "response", "type": "substring", "pattern": "Rome", "action": "mask"}
        assert api.post("/v1/firewall-rules", json=rule).status_code == 201
        why = "(a firewall rule has masked something in the answer)"
        for strict in (False, True):
            for response in both(api, **body | {"router_strict": strict}):
                assert json.loads(text_of(response))["city"] == "[redacted]"
                assert broken(response) == [f"`text.format`: the answer does not keep to the schema: `maxLength` at /city {why}"]


def test_the_words_beside_a_call_are_not_held_to_the_schema(api: httpx.Client) -> None:
    for response in both(api, model=UNHELD[2], input=CALL, text=form(FORM), tools=[LOOSE_TOOL]):
        assert broken(response) == []


def test_a_schema_that_never_ends_is_told_to_be_unchecked(api: httpx.Client) -> None:
    endless = {"type": "object", "properties": {"city": {"type": "string"}}, "allOf": [{"$ref": "#"}, {"$ref": "#"}]}
    for response in both(api, model=UNHELD[2], input="Rome", text=form(endless)):
        [warning] = response["tokenrouter"]["warnings"]
        assert "whether the answer keeps to the schema was not found out" in warning["message"]


def test_the_warning_names_the_field_as_the_surface_does(api: httpx.Client) -> None:
    body = {
        "model": UNHELD[2],
        "messages": [{"role": "user", "content": "Which town? Rome"}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "town", "schema": FORM, "strict": True}},
    }
    answer = api.post("/v1/chat/completions", json=body).json()
    assert any(f"`response_format`: the answer {BROKEN}" == w["message"] for w in answer["tokenrouter"]["warnings"])


def test_nothing_of_the_answers_words_is_told(api: httpx.Client) -> None:
    """A firewall masks what the caller sees; the check must not tell it by the way."""
    [response, streamed] = both(api, model=UNHELD[2], input="Which town? Atlantis", text=form(FORM))
    for one in (response, streamed):
        assert "Atlantis" not in json.dumps(one["tokenrouter"])
