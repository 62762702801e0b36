//! Our request as Gemini's: generation, tools and what is lost. [`Turns`] has the conversation.

use super::{is_third_generation, schema, takes_minimal};
use crate::encode::{Context, EncodeError, to_json};
use crate::tools::{self, Choice, Named};
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use tokenrouter_protocol::{Request, TextFormat, ToolChoice};

mod turns;

use turns::Turns;

pub(crate) fn encode(context: &mut Context, request: &Request) -> Result<Vec<u8>, EncodeError> {
    let mut turns = Turns::default();
    turns.system(request.instructions.as_deref().unwrap_or_default());
    for (i, item) in request.input.iter().enumerate() {
        turns.item(context, item, i)?;
    }
    let (system, contents) = turns.finish()?;
    let mut body = Map::new();
    let mut generation = Map::new();
    let (functions, config) = tool_config(context, request)?;
    let told = format(context, request, !functions.is_empty(), &mut generation);
    let system: Vec<Value> = system.into_iter().chain(told).map(|text| json!({ "text": text })).collect();
    if !system.is_empty() {
        body.insert("systemInstruction".to_owned(), json!({ "parts": system }));
    }
    body.insert("contents".to_owned(), contents.into());
    if !functions.is_empty() {
        let declarations: Vec<Value> = functions.iter().map(|named| declaration(context, request, named)).collect();
        body.insert("tools".to_owned(), json!([{ "functionDeclarations": declarations }]));
        body.insert("toolConfig".to_owned(), json!({ "functionCallingConfig": config }));
    }
    sampling(context, request, &mut generation);
    thinking(context, request, &mut generation);
    if !generation.is_empty() {
        body.insert("generationConfig".to_owned(), generation.into());
    }
    losses(context, request);
    to_json(&body, 1_024)
}

/// The functions, and how they may be called. Gemini can be held to some of them, if it must call
/// one; otherwise the others are not offered.
fn tool_config<'a>(context: &mut Context, request: &'a Request) -> Result<(Vec<Named<'a>>, Value), EncodeError> {
    if let ToolChoice::Allowed { required: true, names } = &request.tool_choice {
        let functions = tools::functions(context, request);
        let mut allowed: Vec<&Cow<str>> = Vec::with_capacity(names.len());
        for name in names {
            let named = functions.iter().find(|f| f.tool.name == *name).ok_or_else(|| tools::missing(name))?;
            allowed.push(&named.name);
        }
        let config = json!({"mode": "ANY", "allowedFunctionNames": allowed});
        return Ok((functions, config));
    }
    let plan = tools::plan(context, request)?;
    let config = match &plan.choice {
        Choice::Auto => json!({"mode": "AUTO"}),
        Choice::None => json!({"mode": "NONE"}),
        Choice::Required => json!({"mode": "ANY"}),
        Choice::Function(name) => json!({"mode": "ANY", "allowedFunctionNames": [name]}),
    };
    Ok((plan.functions, config))
}

fn declaration(context: &mut Context, request: &Request, named: &Named) -> Value {
    let mut declaration = json!({ "name": named.name });
    if let Some(description) = &named.tool.description {
        declaration["description"] = description.as_str().into();
    }
    if let Some(parameters) = &named.tool.parameters {
        let (lowered, left_out) = schema::lower(parameters);
        declaration["parametersJsonSchema"] = lowered;
        let at = request.tools.iter().position(
            |tool| matches!(tool, tokenrouter_protocol::Tool::Function(tool) if tool.name == named.tool.name),
        );
        let param = format!("{}.parameters", context.tool_place(at.unwrap_or(0)));
        lowered_loss(context, &param, &left_out);
    }
    declaration
}

fn lowered_loss(context: &mut Context, param: &str, left_out: &[String]) {
    if !left_out.is_empty() {
        let message = format!("Gemini takes no `{}` in a schema: left out", left_out.join("`, `"));
        context.losses.add(param, message);
    }
}

/// Sets the format; gives what the model must be told in words instead.
fn format(
    context: &mut Context,
    request: &Request,
    with_tools: bool,
    generation: &mut Map<String, Value>,
) -> Option<String> {
    let schema = match &request.text.format {
        TextFormat::Text => return None,
        TextFormat::JsonObject => None,
        TextFormat::JsonSchema { schema, .. } => Some(schema),
    };
    if with_tools && !is_third_generation(context.target.model) {
        context.held.format_changed = schema.is_some();
        let message = "this model takes no format beside tools: it was put into the instructions";
        context.losses.add("text.format", message);
        return Some(match schema {
            Some(schema) => {
                format!(
                    "Unless you call a tool, answer with JSON that is valid by this JSON Schema, and nothing else:\n{schema}"
                )
            }
            None => "Unless you call a tool, answer with one JSON object and nothing else.".to_owned(),
        });
    }
    generation.insert("responseMimeType".to_owned(), "application/json".into());
    if let Some(schema) = schema {
        let (lowered, left_out) = schema::lower(schema);
        context.held.format_changed = lowered != *schema;
        generation.insert("responseJsonSchema".to_owned(), lowered);
        lowered_loss(context, "text.format", &left_out);
    }
    None
}

fn sampling(context: &mut Context, request: &Request, generation: &mut Map<String, Value>) {
    let mut put = |name: &str, value: Value| {
        if !value.is_null() {
            generation.insert(name.to_owned(), value);
        }
    };
    put("temperature", json!(request.temperature));
    put("topP", json!(request.top_p));
    put("maxOutputTokens", json!(request.max_output_tokens));
    put("presencePenalty", json!(request.presence_penalty));
    put("frequencyPenalty", json!(request.frequency_penalty));
    for (name, value) in request.extra.iter().filter(|(name, _)| !name.starts_with("router_")) {
        match (name.as_str(), value) {
            (_, Value::Null) => {}
            ("seed", Value::Number(seed)) if seed.is_i64() => put("seed", value.clone()),
            ("stop", Value::String(_)) => put("stopSequences", json!([value])),
            ("stop", Value::Array(list)) if list.iter().all(Value::is_string) => put("stopSequences", value.clone()),
            _ => context.losses.add(name, "the field is not known; it was left out"),
        }
    }
}

fn thinking(context: &mut Context, request: &Request, generation: &mut Map<String, Value>) {
    let Some(reasoning) = &request.reasoning else { return };
    if reasoning.effort.is_none() && reasoning.summary.is_none() {
        return;
    }
    if !context.target.reasoning {
        let asks = reasoning.effort.as_deref().is_some_and(|effort| effort != "none");
        context.losses.add_if(asks, "reasoning", "this model cannot reason");
        return;
    }
    let mut config = Map::new();
    if reasoning.summary.is_some() {
        config.insert("includeThoughts".to_owned(), true.into());
    }
    let model = context.target.model;
    let lost = "reasoning.effort";
    match reasoning.effort.as_deref() {
        None => {}
        Some(effort) if is_third_generation(model) => {
            let level = match effort {
                "none" => {
                    context.losses.add(lost, "this model always reasons: the least was asked for");
                    if takes_minimal(model) { "minimal" } else { "low" }
                }
                "minimal" if !takes_minimal(model) => {
                    context.losses.add(lost, "this model's least is `low`, which was sent");
                    "low"
                }
                "minimal" | "low" | "medium" | "high" => effort,
                _ => {
                    context.losses.add(lost, "Gemini's highest is `high`, which was sent");
                    "high"
                }
            };
            config.insert("thinkingLevel".to_owned(), level.to_ascii_uppercase().into());
        }
        Some(effort) => {
            let budget = match effort {
                "none" if model.contains("pro") => {
                    context.losses.add(lost, "this model always reasons: the least was asked for");
                    128
                }
                "none" => 0,
                // What Google's own OpenAI-compatible surface makes of these words.
                "minimal" | "low" => 1_024,
                "medium" => 8_192,
                "high" => 24_576,
                _ => {
                    context.losses.add(lost, "Gemini's highest is `high`, which was sent");
                    24_576
                }
            };
            config.insert("thinkingBudget".to_owned(), budget.into());
        }
    }
    generation.insert("thinkingConfig".to_owned(), config.into());
}

fn losses(context: &mut Context, request: &Request) {
    let losses = &mut context.losses;
    losses.add_hints(request, &[]);
    // Google's API has `responseLogprobs`, and answers 400 to it for every model since 2.5: «Logprobs is not enabled»
    // (<https://github.com/googleapis/python-genai/issues/1921>).
    losses.add_if(request.top_logprobs.is_some_and(|n| n > 0), "top_logprobs", "Gemini's models do not tell them");
    losses.add_if(request.max_tool_calls.is_some(), "max_tool_calls", "Gemini has no such field");
    losses.add_if(
        request.parallel_tool_calls == Some(false) && !request.tools.is_empty(),
        "parallel_tool_calls",
        "Gemini has no such field: the model may make several calls at once",
    );
    losses.add_if(request.truncation.as_deref() == Some("auto"), "truncation", "Gemini does not truncate");
    losses.add_if(request.service_tier.is_some(), "service_tier", "Gemini's tiers are others");
    losses.add_if(request.text.verbosity.is_some(), "text.verbosity", "Gemini has no such field");
}
