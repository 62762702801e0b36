"""Frameworks that sit on the official `openai` client work against the gateway: LangChain and the Agents SDK."""

from __future__ import annotations

import asyncio
from typing import Any

import gateway_process as gp
import openai
import pytest
from agents import Agent, OpenAIChatCompletionsModel, OpenAIResponsesModel, RunConfig, Runner, function_tool
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, SecretStr

MODELS = [
    "openai/gpt-4o",
    "anthropic/claude-sonnet-4-5",
    "gemini/gemini-2.5-flash",
    "mistral/mistral-large-latest",
    "deepseek/deepseek-chat",
]
each_model = pytest.mark.parametrize("model", MODELS)
each_api = pytest.mark.parametrize("responses", [False, True], ids=["chat", "responses"])


class Town(BaseModel):
    """A town."""

    city: str
    people: int


@tool
def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"18 degrees in {city}"


def chat(gateway: gp.Gateway, key: str, model: str, responses: bool, **more: Any) -> ChatOpenAI:
    return ChatOpenAI(
        model=model,
        api_key=SecretStr(key),
        base_url=f"{gateway.url}/v1",
        use_responses_api=responses,
        max_retries=0,
        timeout=30,
        **more,
    )


@each_model
@each_api
def test_langchain_asks_and_streams(gateway: gp.Gateway, workspace: str, model: str, responses: bool) -> None:
    llm = chat(gateway, workspace, model, responses, stream_usage=True)
    answer = llm.invoke([("system", "Be brief."), ("human", "Tell me of the sea")])
    assert "Tell me of the sea" in answer.text and "Be brief." in answer.text
    assert answer.usage_metadata and answer.usage_metadata["total_tokens"] > 0
    chunks = list(llm.stream([("system", "Be brief."), ("human", "Tell me of the sea")]))
    assert "".join(chunk.text for chunk in chunks) == answer.text
    assert len(chunks) > 2
    assert any(chunk.usage_metadata for chunk in chunks)


@each_model
@each_api
def test_langchain_takes_tools_round(gateway: gp.Gateway, workspace: str, model: str, responses: bool) -> None:
    llm = chat(gateway, workspace, model, responses).bind_tools([get_weather])
    messages: list[Any] = [HumanMessage("Please call get_weather for Paris.")]
    for _ in range(2):
        # Plainly, and then streamed.
        answer: Any = llm.invoke(messages) if len(messages) == 1 else None
        if answer is None:
            for chunk in llm.stream(messages[:1]):
                answer = chunk if answer is None else answer + chunk
        [call] = answer.tool_calls
        assert call["name"] == "get_weather" and call["args"]
        messages = [messages[0], answer, ToolMessage(get_weather.invoke(call["args"]), tool_call_id=call["id"])]
        assert "18 degrees" in llm.invoke(messages).text


@each_model
@each_api
@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_langchain_gets_structured_output(
    gateway: gp.Gateway, workspace: str, model: str, responses: bool, method: Any
) -> None:
    llm = chat(gateway, workspace, model, responses).with_structured_output(Town, method=method)
    town = llm.invoke("Which town?")
    assert isinstance(town, Town) and town.city


@each_model
@each_api
def test_the_agents_sdk_runs_an_agent_with_a_tool(
    gateway: gp.Gateway, workspace: str, model: str, responses: bool
) -> None:
    asked: list[str] = []

    @function_tool
    def weather_of(city: str) -> str:
        """The weather of a city."""
        asked.append(city)
        return f"18 degrees in {city}"

    async def run() -> None:
        async with openai.AsyncOpenAI(api_key=workspace, base_url=f"{gateway.url}/v1", max_retries=0) as client:
            kind = OpenAIResponsesModel if responses else OpenAIChatCompletionsModel
            agent = Agent(
                name="Weather", instructions="Be brief.", tools=[weather_of], model=kind(model, openai_client=client)
            )
            config = RunConfig(tracing_disabled=True)
            result = await Runner.run(agent, "Please call weather_of for Paris.", run_config=config)
            assert "18 degrees" in result.final_output
            streamed = Runner.run_streamed(agent, "Please call weather_of for Paris.", run_config=config)
            kinds = {event.type async for event in streamed.stream_events()}
            assert "18 degrees" in streamed.final_output and "raw_response_event" in kinds

    asyncio.run(run())
    assert len(asked) == 2


@each_model
@each_api
def test_the_agents_sdk_hands_over_to_another_agent(
    gateway: gp.Gateway, workspace: str, model: str, responses: bool
) -> None:
    async def run() -> None:
        async with openai.AsyncOpenAI(api_key=workspace, base_url=f"{gateway.url}/v1", max_retries=0) as client:
            kind = OpenAIResponsesModel if responses else OpenAIChatCompletionsModel
            # The other agent is another provider's.
            poet = Agent(name="Poet", instructions="Be a poet.", model=kind(MODELS[1], openai_client=client))
            first = Agent(name="First", handoffs=[poet], model=kind(model, openai_client=client))
            config = RunConfig(tracing_disabled=True)
            result = await Runner.run(first, "Please call transfer_to_poet.", run_config=config)
            assert result.last_agent.name == "Poet" and MODELS[1] in result.final_output
            streamed = Runner.run_streamed(first, "Please call transfer_to_poet.", run_config=config)
            async for _ in streamed.stream_events():
                pass
            assert streamed.last_agent.name == "Poet" and streamed.final_output == result.final_output

    asyncio.run(run())
