"""The cases of the conformance matrix, and the table that is made of how each dialect fares in them.

A case asks a question, plain and streamed, and holds the answer against what it must be. What it could only
be given by other means the gateway has said in a warning, and what cannot be given it has refused with a
clear error: `test_conformance.py` says which of these are allowed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import gateway_process as gp
import httpx
import open_responses
from response_stream import check_order, events, text_of
from test_schema import CALL_WEATHER, CLOCK, PIXEL, SCHEMA, WEATHER, calls, create_both

PDF = "data:application/pdf;base64,JVBERi0xLjQKJSVFT0YK"
NOTES = "data:text/plain;base64,VGhlIHNlYSBpcyB3aWRlLg=="


@dataclass(frozen=True)
class Dialect:
    title: str
    model: str
    reasoning_model: str
    # Sees images, and files if any of the provider's models do.
    seeing_model: str

    @property
    def provider(self) -> str:
        return self.model.partition("/")[0]


DIALECTS = {
    "openai": Dialect("OpenAI", "openai/gpt-4o", "openai/o3", "openai/gpt-4o"),
    "anthropic": Dialect("Anthropic", *["anthropic/claude-sonnet-4-5"] * 3),
    "gemini": Dialect("Gemini 2.5", *["gemini/gemini-2.5-flash"] * 3),
    "gemini-3": Dialect("Gemini 3", *["gemini/gemini-3.5-flash"] * 3),
    "mistral": Dialect(
        "Mistral", "mistral/mistral-large-latest", "mistral/magistral-medium-latest", "mistral/mistral-large-latest"
    ),
    "deepseek": Dialect(
        "DeepSeek", "deepseek/deepseek-chat", "deepseek/deepseek-reasoner", "deepseek/deepseek-v4-flash"
    ),
    "compatible": Dialect("OpenAI-compatible", "local/local-model", "local/local-reasoner", "local/local-model"),
}


class Refused(Exception):
    """The gateway refused the request, plain and streamed alike, before anything was answered."""

    def __init__(self, status: int, error: dict[str, Any]) -> None:
        super().__init__(f"{status} {error['code']}: {error['message']}")
        self.status = status
        self.error = error


@dataclass
class Asked:
    """One dialect's answers in one case, and what the gateway said of how it came to them."""

    http: httpx.Client
    simulator: gp.Simulator
    dialect: Dialect
    # Asks with `router_strict`.
    strict: bool = False
    warnings: list[str] = field(default_factory=list)

    def both(self, *, model: str | None = None, custom: bool = False, **body: Any) -> dict[str, Any]:
        """The answer of the same request plain and streamed, if they are one."""
        body |= {"model": model or self.dialect.model} | ({"router_strict": True} if self.strict else {})
        self.refusal(**body)
        response = create_both(self.http, custom=custom, **body)
        for warning in response["tokenrouter"]["warnings"]:
            if warning["source"] == "translation" and warning["message"] not in self.warnings:
                self.warnings.append(warning["message"])
        return response

    def refusal(self, **body: Any) -> None:
        answer = self.http.post("/v1/responses", json=body)
        if answer.status_code == 200:
            return
        streamed = self.http.post("/v1/responses", json=body | {"stream": True})
        error, other = answer.json()["error"], streamed.json()["error"]
        ids = {"request_id": None}
        assert (streamed.status_code, other | ids) == (answer.status_code, error | ids)
        raise Refused(answer.status_code, error)


def text(asked: Asked) -> None:
    response = asked.both(input="Tell me of the sea")
    assert "Tell me of the sea" in text_of(response) and response["status"] == "completed"


def system(asked: Asked) -> None:
    messages = [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "Hello"}]
    answer = text_of(asked.both(instructions="Answer as a pirate.", input=messages))
    assert "Answer as a pirate." in answer and "Be brief." in answer


def multi_turn(asked: Asked) -> None:
    said = [{"type": "output_text", "text": "Hello Ada.", "annotations": []}]
    messages = [
        {"role": "user", "content": "My name is Ada."},
        {"type": "message", "role": "assistant", "content": said},
        {"role": "user", "content": "And who am I?"},
    ]
    answer = text_of(asked.both(input=messages))
    assert "And who am I?" in answer and 'the last by assistant: "Hello Ada."' in answer


def seen(asked: Asked, part: dict[str, Any], told: str) -> None:
    content = [{"type": "input_text", "text": "What is this?"}, part]
    response = asked.both(model=asked.dialect.seeing_model, input=[{"role": "user", "content": content}])
    assert told in text_of(response)


def image(asked: Asked) -> None:
    seen(asked, {"type": "input_image", "image_url": PIXEL, "detail": "auto"}, "Images: 1.")


def text_file(asked: Asked) -> None:
    content = [{"type": "input_text", "text": "Read: "}, {"type": "input_file", "filename": "a.txt", "file_data": NOTES}]
    answer = text_of(asked.both(model=asked.dialect.seeing_model, input=[{"role": "user", "content": content}]))
    assert "Files: 1." in answer or "The sea is wide." in answer


def pdf_file(asked: Asked) -> None:
    seen(asked, {"type": "input_file", "filename": "a.pdf", "file_data": PDF}, "Files: 1.")


def tool_call(asked: Asked) -> None:
    [call] = calls(asked.both(input=CALL_WEATHER, tools=[WEATHER, CLOCK]))
    assert call["name"] == "get_weather" and json.loads(call["arguments"]) == {"city": "Paris"}


def forced_tool(asked: Asked) -> None:
    choice = {"type": "function", "name": "get_time"}
    [call] = calls(asked.both(input="Hello", tools=[WEATHER, CLOCK], tool_choice=choice))
    assert call["name"] == "get_time"


def allowed_tools(asked: Asked) -> None:
    allowed = {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "get_time"}]}
    [call] = calls(asked.both(input=CALL_WEATHER, tools=[WEATHER, CLOCK], tool_choice=allowed))
    assert call["name"] == "get_time"


PARALLEL = "Please call get_weather and get_time for Paris."


def parallel_tools(asked: Asked) -> None:
    made = calls(asked.both(input=PARALLEL, tools=[WEATHER, CLOCK]))
    assert [call["name"] for call in made] == ["get_weather", "get_time"]
    assert len({call["call_id"] for call in made}) == 2 == len({call["id"] for call in made})


def tool_round_trip(asked: Asked) -> None:
    """Two calls at once, whose results come back in another order than the calls."""
    first = asked.both(input=PARALLEL, tools=[WEATHER, CLOCK])
    results = [
        {"type": "function_call_output", "call_id": call["call_id"], "output": f"the answer of {call['name']}"}
        for call in reversed(calls(first))
    ]
    conversation = [{"role": "user", "content": PARALLEL}, *first["output"], *results]
    second = asked.both(input=conversation, tools=[WEATHER, CLOCK])
    assert calls(second) == []
    assert all(f"the answer of {name}" in text_of(second) for name in ("get_weather", "get_time"))


def image_in_a_result(asked: Asked) -> None:
    model = asked.dialect.seeing_model
    first = asked.both(model=model, input=CALL_WEATHER, tools=[WEATHER])
    [call] = calls(first)
    output = [{"type": "input_text", "text": "the sky"}, {"type": "input_image", "image_url": PIXEL, "detail": "auto"}]
    result = {"type": "function_call_output", "call_id": call["call_id"], "output": output}
    conversation = [{"role": "user", "content": CALL_WEATHER}, *first["output"], result]
    answer = text_of(asked.both(model=model, input=conversation, tools=[WEATHER]))
    assert "the sky" in answer and "Images: 1." in answer


GRAMMAR = {"type": "grammar", "syntax": "lark", "definition": 'start: "run" WORD'}
SHELL = {"type": "custom", "name": "shell", "description": "Runs a command", "format": GRAMMAR}
CALL_SHELL = "Please call shell with uptime"


def custom_tool(asked: Asked) -> None:
    """The call comes as a text, and its result goes back to it."""
    first = asked.both(custom=True, input=CALL_SHELL, tools=[SHELL])
    [call] = [item for item in first["output"] if item["type"] != "reasoning"]
    assert (call["type"], call["name"], call["input"], call["status"]) == (
        "custom_tool_call", "shell", "uptime", "completed",
    )  # fmt: skip
    result = {"type": "custom_tool_call_output", "call_id": call["call_id"], "output": "up 3 days"}
    conversation = [{"role": "user", "content": CALL_SHELL}, *first["output"], result]
    second = asked.both(custom=True, input=conversation, tools=[SHELL])
    assert "up 3 days" in text_of(second)


def namespaces(asked: Asked) -> None:
    """Two tools of one name are told apart by their namespaces, in the call and in its way back."""
    tools = [
        {"type": "namespace", "name": name, "description": f"About {name}", "tools": [WEATHER]} for name in ("sea", "sky")
    ]
    choice = {"type": "allowed_tools", "mode": "required", "tools": [{"type": "namespace", "name": "sky"}]}
    first = asked.both(custom=True, input="Please call get_weather for Paris.", tools=tools, tool_choice=choice)
    [call] = [item for item in first["output"] if item["type"] != "reasoning"]
    assert (call["type"], call["name"], call["namespace"]) == ("function_call", "get_weather", "sky")
    result = {"type": "function_call_output", "call_id": call["call_id"], "output": "18 degrees"}
    conversation = [{"role": "user", "content": "The weather?"}, *first["output"], result]
    assert "18 degrees" in text_of(asked.both(custom=True, input=conversation, tools=tools))


def structured_output(asked: Asked) -> None:
    form = {"type": "json_schema", "name": "town", "schema": SCHEMA, "strict": True}
    answer = json.loads(text_of(asked.both(input="Which town?", text={"format": form})))
    assert isinstance(answer["city"], str) and isinstance(answer["people"], int)


def reasoning(asked: Asked) -> None:
    ask = {"effort": "low", "summary": "auto"}
    response = asked.both(model=asked.dialect.reasoning_model, input="How many sheep?", reasoning=ask)
    assert [item["type"] for item in response["output"]] == ["reasoning", "message"]
    thought = response["output"][0]
    assert any(part["text"] for part in [*thought["summary"], *thought.get("content", [])])
    assert response["usage"]["output_tokens_details"]["reasoning_tokens"] > 0 or asked.dialect.provider == "mistral"


def reasoning_round_trip(asked: Asked) -> None:
    model = asked.dialect.reasoning_model
    ask: dict[str, Any] = {"reasoning": {"effort": "low", "summary": "auto"}, "include": ["reasoning.encrypted_content"]}
    first = asked.both(model=model, input="How many sheep?", **ask)
    conversation = [
        {"role": "user", "content": "How many sheep?"}, *first["output"], {"role": "user", "content": "And goats?"},
    ]  # fmt: skip
    assert "And goats?" in text_of(asked.both(model=model, input=conversation, **ask))


def truncation(asked: Asked) -> None:
    response = asked.both(input="Tell me a long story of the sea. " * 10, max_output_tokens=16)
    assert response["status"] == "incomplete" and response["output"][-1]["status"] == "incomplete"
    assert response["incomplete_details"] == {"reason": "max_output_tokens"}


def refusal(asked: Asked) -> None:
    """Told as a refusal part, or as an answer that the content filter ended; in words where there is no other way."""
    response = asked.both(input="Please refuse this.")
    parts = [part for item in response["output"] if item["type"] == "message" for part in item["content"]]
    refused = [part["refusal"] for part in parts if part["type"] == "refusal"]
    if asked.dialect.provider == "mistral":
        assert text_of(response) == "I cannot help with that." and response["status"] == "completed"
    elif asked.dialect.provider in ("openai", "local"):
        assert refused == ["I cannot help with that."] and response["status"] == "completed"
    else:
        assert response["status"] == "incomplete"
        assert response["incomplete_details"] == {"reason": "content_filter"}


def error(asked: Asked) -> None:
    """The provider fails before it answers: the same error plain and streamed, which names the provider."""
    for stream in (False, True):
        asked.simulator.fault(provider=asked.dialect.provider, status=500, count=1)
        body = {"model": asked.dialect.model, "input": "Hello", "stream": stream}
        answer = asked.http.post("/v1/responses", json=body)
        told = answer.json()["error"]
        assert (answer.status_code, told["type"], told["provider"]) == (502, "provider_error", asked.dialect.provider)


def error_in_a_stream(asked: Asked) -> None:
    asked.simulator.fault(provider=asked.dialect.provider, error_event=True, count=1)
    stream = events(asked.http, model=asked.dialect.model, input="Tell me a story")
    for event in stream:
        # Not by OpenAI's own types, whose list of codes has none of a router's.
        open_responses.check_event(event)
    assert check_order(stream)["status"] == "failed" and stream[-1]["type"] == "response.failed"
    assert stream[-1]["response"]["error"]["code"]


CASES: dict[str, Callable[[Asked], None]] = {
    "text": text,
    "system and developer messages": system,
    "multi-turn": multi_turn,
    "image": image,
    "file: text": text_file,
    "file: PDF": pdf_file,
    "tool call": tool_call,
    "forced tool": forced_tool,
    "allowed tools": allowed_tools,
    "parallel tools": parallel_tools,
    "tool round trip": tool_round_trip,
    "image in a tool's result": image_in_a_result,
    "custom tool": custom_tool,
    "namespaces": namespaces,
    "structured output": structured_output,
    "reasoning": reasoning,
    "reasoning round trip": reasoning_round_trip,
    "truncation": truncation,
    "refusal": refusal,
    "error": error,
    "error in mid-stream": error_in_a_stream,
}


@dataclass(frozen=True)
class Outcome:
    word: str
    # What was emulated, or why it was refused.
    notes: tuple[str, ...] = ()


def outcome(asked: Asked, case: str) -> Outcome:
    try:
        CASES[case](asked)
    except Refused as refused:
        return Outcome("refused", (str(refused),))
    return Outcome("emulated", tuple(asked.warnings)) if asked.warnings else Outcome("carried")


def table(outcomes: dict[tuple[str, str], Outcome]) -> str:
    """A row for each case, a column for each dialect; what is not simply carried has a number into the notes."""
    notes: list[str] = []

    def cell(found: Outcome) -> str:
        numbers = []
        for note in found.notes:
            if note not in notes:
                notes.append(note)
            numbers.append(str(notes.index(note) + 1))
        return f"{found.word} ({', '.join(numbers)})" if numbers else found.word

    lines = [
        "| case | " + " | ".join(dialect.title for dialect in DIALECTS.values()) + " |",
        "| --- " * (len(DIALECTS) + 1) + "|",
    ]
    for case in CASES:
        lines.append(f"| {case} | " + " | ".join(cell(outcomes[name, case]) for name in DIALECTS) + " |")
    lines.append("")
    lines += [f"{number}. {note}" for number, note in enumerate(notes, 1)]
    return "\n".join(lines) + "\n"


def exceptions(outcomes: dict[tuple[str, str], Outcome]) -> str:
    """A row for each cell that is not simply carried: how it fares, why, and the test that shows it."""
    lines = ["| case | provider | | why | `test_the_cell_is_green` |", "| --- | --- | --- | --- | --- |"]
    for case in CASES:
        for name, dialect in DIALECTS.items():
            found = outcomes[name, case]
            if found.word != "carried":
                why = "<br>".join(found.notes)
                lines.append(f"| {case} | {dialect.title} | {found.word} | {why} | `[{name}-{case}]` |")
    return "\n".join(lines) + "\n"


# What can go wrong in a translation, in short; the numbers are those of the tests' names, `trap_N_…`.
TRAPS = {
    1: "parallel calls in a stream",
    2: "results of parallel calls",
    3: "ids of items and of calls",
    4: "the form of tool ids",
    5: "arguments byte for byte",
    6: "an answer cut at its limit",
    7: "errors in a stream",
    8: "reasoning and its signatures",
    9: "forced tools beside thinking",
    10: "the developer's role",
    11: "instructions, and system items in mid-history",
    12: "empty texts",
    13: "images and files",
    14: "subsets of JSON Schema",
    15: "refusals and safety stops",
    16: "usage in one form",
    17: "Anthropic's `max_tokens`",
    18: "an allow-list, in the order given",
    19: "streams cut anywhere",
    20: "custom tools and namespaces",
    21: "a conversation stays where it is",
}
# Tests from without, of traps that no name of theirs tells.
COVERED_ELSEWHERE = {
    11: ["test_instructions_do_not_carry_over"],
    14: ["test_an_answer_that_breaks_its_schema_is_told_by_its_place"],
    15: ["test_a_refusal_is_one", "test_content_that_a_filter_stopped_says_so"],
    20: ["test_the_input_comes_in_the_pieces_that_the_provider_sends", "test_custom_tools_and_citations_come_as_chats_have_them"],
}
# No code and so no test: said here, rather than left out.
OPEN_TRAPS: dict[int, str] = {}


def tests_by_name() -> dict[str, str]:
    """Every test of the project, and the file it stands in."""
    found: dict[str, str] = {}
    for folder, ending in (("crates", "rs"), ("tests", "py")):
        for path in sorted((gp.ROOT / folder).rglob(f"*.{ending}")):
            for name in re.findall(r"^\s*(?:fn|(?:async )?def) ((?:trap_\d+|test)_\w+)", path.read_text(), re.MULTILINE):
                found.setdefault(name, str(path.relative_to(gp.ROOT)))
    return found


def traps() -> str:
    """A row for each trap, and the tests that hold it."""
    known = tests_by_name()
    lines = ["| | trap | held by |", "| --- | --- | --- |"]
    for number, title in TRAPS.items():
        names = [name for name in known if name.removeprefix("test_").startswith(f"trap_{number}_")]
        names += COVERED_ELSEWHERE.get(number, []) + [f"every cell ({case})" for case in HELD_BY_CASES.get(number, [])]
        told = [name if " " in name else f"`{name}` ({known[name]})" for name in names]
        if not told:
            told = [OPEN_TRAPS[number]]
        lines.append(f"| {number} | {title} | {'<br>'.join(told)} |")
    return "\n".join(lines) + "\n"


HELD_BY_CASES = {
    1: ["parallel tools"], 2: ["tool round trip"], 6: ["truncation"], 7: ["error in mid-stream"],
    8: ["reasoning round trip"], 10: ["system and developer messages"], 13: ["image", "file: PDF"],
    14: ["structured output"], 15: ["refusal"], 20: ["custom tool", "namespaces"],
}  # fmt: skip
