// The Vercel AI SDK against a gateway: text, streams and tools, through each of its providers that can
// speak to one. Says what it saw as one JSON object, which tests/test_vercel_ai_sdk.py judges.

import { createOpenResponses } from "@ai-sdk/open-responses";
import { createOpenAI } from "@ai-sdk/openai";
import { generateText, Output, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";

const [baseURL, apiKey, model] = process.argv.slice(2);
const openai = createOpenAI({ baseURL: `${baseURL}/v1`, apiKey });
const open = createOpenResponses({ name: "tokenrouter", url: `${baseURL}/v1/responses`, apiKey });
const models = { responses: openai.responses(model), chat: openai.chat(model), open: open(model) };

const tools = {
  get_weather: tool({
    description: "The weather of a city",
    inputSchema: z.object({ city: z.string() }),
    execute: async ({ city }) => `18 degrees in ${city}`,
  }),
};

const seen = {};
for (const [name, languageModel] of Object.entries(models)) {
  const said = await generateText({ model: languageModel, prompt: "Tell me of the sea" });

  const stream = streamText({ model: languageModel, prompt: "Tell me of the sea" });
  let streamed = "";
  let pieces = 0;
  for await (const piece of stream.textStream) {
    streamed += piece;
    pieces += 1;
  }

  const asked = { model: languageModel, tools, stopWhen: stepCountIs(3), prompt: "Please call get_weather for Paris" };
  const called = await generateText(asked);
  const callStream = streamText(asked);
  await callStream.consumeStream();
  const schema = z.object({ city: z.string(), people: z.number() });
  const form = await generateText({ model: languageModel, prompt: "Which town?", output: Output.object({ schema }) });

  seen[name] = {
    text: said.text,
    finish: said.finishReason,
    tokens: said.usage.totalTokens,
    streamed,
    pieces,
    calls: called.steps.flatMap((step) => step.toolCalls.map((call) => [call.toolName, call.input])),
    answer: called.text,
    streamedCalls: (await callStream.steps).flatMap((step) =>
      step.toolCalls.map((call) => [call.toolName, call.input]),
    ),
    streamedAnswer: await callStream.text,
    object: form.output,
  };
}
console.log(JSON.stringify(seen));
