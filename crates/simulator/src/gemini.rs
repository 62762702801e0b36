//! Google's Gemini, with what it refuses.

use crate::mind::{Prompt, Reply, tokens};
use crate::wire::hash;
use serde_json::{Map, Value, json};

/// What the JSON Schemas of a request may hold …
const JSON_SCHEMA: [&str; 21] = [
    "$id",
    "$defs",
    "$ref",
    "$anchor",
    "type",
    "format",
    "title",
    "description",
    "enum",
    "items",
    "prefixItems",
    "minItems",
    "maxItems",
    "minimum",
    "maximum",
    "anyOf",
    "oneOf",
    "properties",
    "additionalProperties",
    "required",
    "propertyOrdering",
];
/// … and the older ones, of OpenAPI's kind.
const OPEN_API: [&str; 22] = [
    "type",
    "format",
    "title",
    "description",
    "nullable",
    "enum",
    "items",
    "minItems",
    "maxItems",
    "properties",
    "required",
    "minProperties",
    "maxProperties",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "pattern",
    "example",
    "anyOf",
    "propertyOrdering",
    "default",
];
const TOP: [&str; 8] = [
    "contents",
    "systemInstruction",
    "tools",
    "toolConfig",
    "generationConfig",
    "safetySettings",
    "cachedContent",
    "model",
];
const PARTS: [&str; 5] = ["text", "inlineData", "fileData", "functionCall", "functionResponse"];
const NO_SIGNATURE: &str = "skip_thought_signature_validator";

/// The model and whether it is to stream, out of the last part of a path.
pub(crate) fn method(part: &str) -> Option<(String, bool)> {
    let (model, method) = part.rsplit_once(':')?;
    let stream = match method {
        "generateContent" => false,
        "streamGenerateContent" => true,
        _ => return None,
    };
    Some((percent_decoded(model)?, stream))
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}

/// Google's word for a status.
pub(crate) fn word(status: http::StatusCode) -> &'static str {
    match status.as_u16() {
        400 => "INVALID_ARGUMENT",
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        429 => "RESOURCE_EXHAUSTED",
        503 => "UNAVAILABLE",
        504 => "DEADLINE_EXCEEDED",
        _ => "INTERNAL",
    }
}

fn is_third_generation(model: &str) -> bool {
    let generation = model.strip_prefix("gemini-").and_then(|rest| rest.split(['.', '-']).next());
    generation.and_then(|number| number.parse::<u32>().ok()).is_some_and(|number| number >= 3)
}

/// What a model signs its thoughts with: base64, which only this model knows again.
fn signature(model: &str, seed: u64) -> String {
    format!("{:016x}{seed:016x}", hash(model))
}

/// The request with the names that its proto gives as `snake_case` in `camelCase`: Google takes either,
/// and its own client sends both. What is the caller's own stays.
fn camel_case(value: &Value) -> Value {
    let Value::Object(object) = value else {
        return value.as_array().map_or_else(|| value.clone(), |list| list.iter().map(camel_case).collect());
    };
    let mut out = Map::new();
    for (name, value) in object {
        let mut words = name.split('_');
        let mut camel = words.next().unwrap_or_default().to_owned();
        for word in words {
            let mut letters = word.chars();
            camel.extend(letters.next().map(|letter| letter.to_ascii_uppercase()));
            camel.push_str(letters.as_str());
        }
        let value = match camel.as_str() {
            "args" | "response" | "parametersJsonSchema" | "responseJsonSchema" => value.clone(),
            "properties" => value.as_object().map_or(Value::Null, |inner| {
                Value::Object(inner.iter().map(|(name, schema)| (name.clone(), camel_case(schema))).collect())
            }),
            _ => camel_case(value),
        };
        out.insert(camel, value);
    }
    Value::Object(out)
}

pub(crate) fn parse(provider: &str, request: &Value) -> Result<Prompt, String> {
    let request = &camel_case(request);
    let model = request["model"].as_str().unwrap_or_default();
    let mut prompt = Prompt { provider: provider.into(), model: model.into(), ..Prompt::default() };
    if let Some(unknown) = request.as_object().into_iter().flatten().find(|(name, _)| !TOP.contains(&name.as_str())) {
        return Err(format!("Invalid JSON payload received. Unknown name \"{}\": Cannot find field.", unknown.0));
    }
    let system = texts(&request["systemInstruction"]["parts"]);
    if !system.is_empty() {
        prompt.message("system", system);
    }
    let contents = request["contents"].as_array().filter(|list| !list.is_empty());
    let mut called = 0;
    for content in contents.ok_or("GenerateContentRequest.contents: contents is not specified")? {
        called = turn(&mut prompt, content, called)?;
    }
    if called > 0 {
        return Err("Please ensure that function call turn is followed by a function response turn.".to_owned());
    }
    tools(&mut prompt, request)?;
    generation(&mut prompt, &request["generationConfig"])?;
    Ok(prompt)
}

fn texts(parts: &Value) -> String {
    let parts = parts.as_array().into_iter().flatten();
    parts.filter(|part| part["thought"] != true).filter_map(|part| part["text"].as_str()).collect()
}

/// Takes a turn in after one that made so many calls; gives how many calls this one makes.
fn turn(prompt: &mut Prompt, content: &Value, called: usize) -> Result<usize, String> {
    let role = match content["role"].as_str() {
        None | Some("user") => "user",
        Some("model") => "assistant",
        Some(_) => return Err("Please use a valid role: user, model.".to_owned()),
    };
    let parts = content["parts"].as_array().filter(|parts| !parts.is_empty());
    let parts = parts.ok_or("GenerateContentRequest.contents.parts: contents.parts must not be empty.")?;
    let (mut calls, mut answers) = (0, Vec::new());
    for part in parts {
        let kinds = PARTS.iter().filter(|kind| !part[**kind].is_null()).count();
        if kinds != 1 {
            return Err(
                "GenerateContentRequest.contents.parts: required oneof field 'data' must have one initialized field"
                    .to_owned(),
            );
        }
        if let Some(signature) = part["thoughtSignature"].as_str()
            && signature != NO_SIGNATURE
            && !signature.starts_with(&format!("{:016x}", hash(&prompt.model)))
        {
            return Err("Thought signature is not valid.".to_owned());
        }
        if part["functionCall"].is_object() {
            if calls == 0 && part["thoughtSignature"].is_null() && is_third_generation(&prompt.model) {
                return Err("Function call is missing a thought_signature in functionCall parts.".to_owned());
            }
            if !part["functionCall"]["args"].is_object() {
                return Err("Invalid value at 'contents.parts.function_call.args'.".to_owned());
            }
            calls += 1;
        }
        if part["functionResponse"].is_object() {
            let answer = &part["functionResponse"]["response"];
            if !answer.is_object() {
                return Err("Invalid value at 'contents.parts.function_response.response'.".to_owned());
            }
            prompt.images += part["functionResponse"]["parts"].as_array().map_or(0, Vec::len);
            answers.push(answer["output"].as_str().map_or_else(|| answer.to_string(), str::to_owned));
        }
        for data in [&part["inlineData"], &part["fileData"]].into_iter().filter(|data| data.is_object()) {
            match data["mimeType"].as_str() {
                None if part["inlineData"].is_object() => {
                    return Err("Unable to process input: inline_data.mime_type is required.".to_owned());
                }
                Some(kind) if kind.starts_with("image/") => prompt.images += 1,
                _ => prompt.files += 1,
            }
        }
    }
    if answers.len() != called {
        return Err(
            "Please ensure that the number of function response parts is equal to the number of function call \
             parts of the function call turn."
                .to_owned(),
        );
    }
    let text = texts(&content["parts"]);
    if !text.is_empty() || answers.is_empty() {
        prompt.message(role, text);
    }
    prompt.tool_results.extend(answers);
    Ok(calls)
}

fn tools(prompt: &mut Prompt, request: &Value) -> Result<(), String> {
    let tools = request["tools"].as_array().into_iter().flatten();
    for function in tools.flat_map(|tool| tool["functionDeclarations"].as_array().into_iter().flatten()) {
        let name = function["name"].as_str().unwrap_or_default();
        let begins = name.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
        if !begins || name.len() > 64 || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.:-".contains(&b)) {
            return Err("Invalid function name. Must start with a letter or an underscore.".to_owned());
        }
        check_schema(&function["parametersJsonSchema"], &JSON_SCHEMA, "tools.function_declarations")?;
        check_schema(&function["parameters"], &OPEN_API, "tools.function_declarations.parameters")?;
        prompt.tools.push((name.to_owned(), either(&function["parametersJsonSchema"], &function["parameters"])));
    }
    let config = &request["toolConfig"]["functionCallingConfig"];
    let allowed: Vec<&str> =
        config["allowedFunctionNames"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if let Some(unknown) = allowed.iter().find(|name| !prompt.tools.iter().any(|(known, _)| known == *name)) {
        return Err(format!("allowed_function_names: `{unknown}` is not declared."));
    }
    prompt.tool_choice = match config["mode"].as_str() {
        None | Some("AUTO" | "VALIDATED") if !allowed.is_empty() => {
            return Err("Allowed function names should only be set when function calling mode is ANY.".to_owned());
        }
        None | Some("AUTO" | "VALIDATED") => "auto".to_owned(),
        Some("NONE") => "none".to_owned(),
        Some("ANY") => {
            if !allowed.is_empty() {
                prompt.tools.retain(|(name, _)| allowed.contains(&name.as_str()));
            }
            "required".to_owned()
        }
        Some(other) => return Err(format!("Invalid value at 'tool_config.function_calling_config.mode': \"{other}\"")),
    };
    Ok(())
}

fn generation(prompt: &mut Prompt, config: &Value) -> Result<(), String> {
    check_schema(&config["responseJsonSchema"], &JSON_SCHEMA, "generation_config.response_json_schema")?;
    check_schema(&config["responseSchema"], &OPEN_API, "generation_config.response_schema")?;
    let json = config["responseMimeType"] == "application/json";
    let schema = either(&config["responseJsonSchema"], &config["responseSchema"]);
    if !json && !schema.is_null() {
        return Err("Response schema is only supported with the response mime type application/json.".to_owned());
    }
    if json && !prompt.tools.is_empty() && !is_third_generation(&prompt.model) {
        return Err("Function calling with a response mime type: 'application/json' is unsupported".to_owned());
    }
    prompt.json = json;
    prompt.schema = (!schema.is_null()).then_some(schema);
    prompt.max_tokens = config["maxOutputTokens"].as_u64().and_then(|n| usize::try_from(n).ok());
    let thinking = &config["thinkingConfig"];
    if !thinking["thinkingLevel"].is_null() && !thinking["thinkingBudget"].is_null() {
        return Err("You can only set only one of thinking budget and thinking level.".to_owned());
    }
    if !thinking["thinkingLevel"].is_null() && !is_third_generation(&prompt.model) {
        return Err("Thinking level is not supported for this model.".to_owned());
    }
    prompt.reasoning = thinking["includeThoughts"] == true
        || !thinking["thinkingLevel"].is_null()
        || thinking["thinkingBudget"].as_i64().is_some_and(|budget| budget != 0);
    prompt.shows_thoughts = thinking["includeThoughts"] == true;
    Ok(())
}

fn either(schema: &Value, other: &Value) -> Value {
    lower_case(if schema.is_null() { other } else { schema })
}

/// OpenAPI's kind writes its types in capitals.
fn lower_case(schema: &Value) -> Value {
    match schema {
        Value::Object(object) => Value::Object(
            object
                .iter()
                .map(|(name, value)| match value {
                    Value::String(text) if name == "type" => (name.clone(), text.to_ascii_lowercase().into()),
                    _ => (name.clone(), lower_case(value)),
                })
                .collect(),
        ),
        Value::Array(list) => list.iter().map(lower_case).collect(),
        other => other.clone(),
    }
}

fn check_schema(schema: &Value, known: &[&str], place: &str) -> Result<(), String> {
    let Some(object) = schema.as_object() else { return Ok(()) };
    if object.contains_key("$ref") && object.keys().any(|name| !name.starts_with('$')) {
        return Err(format!("{place}: when $ref is set, no other field may be."));
    }
    for (name, value) in object {
        if !known.contains(&name.as_str()) {
            return Err(format!(
                "Invalid JSON payload received. Unknown name \"{name}\" at '{place}': Cannot find field."
            ));
        }
        match name.as_str() {
            "properties" | "$defs" => {
                for inner in value.as_object().into_iter().flat_map(Map::values) {
                    check_schema(inner, known, place)?;
                }
            }
            "items" | "additionalProperties" => check_schema(value, known, place)?,
            "anyOf" | "oneOf" | "prefixItems" => {
                for inner in value.as_array().into_iter().flatten() {
                    check_schema(inner, known, place)?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn head(prompt: &Prompt, reply: &Reply, parts: &[Value], finish: Option<&str>) -> Value {
    let mut candidate = json!({"content": {"parts": parts, "role": "model"}, "index": 0});
    if let Some(finish) = finish {
        candidate["finishReason"] = finish.into();
    }
    let said = if finish.is_some() { reply.output_tokens - reply.reasoning_tokens } else { 0 };
    let mut usage = json!({
        "promptTokenCount": reply.input_tokens, "candidatesTokenCount": said,
        "totalTokenCount": reply.input_tokens + said + reply.reasoning_tokens,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": reply.input_tokens}],
    });
    if reply.reasoning_tokens > 0 {
        usage["thoughtsTokenCount"] = reply.reasoning_tokens.into();
    }
    json!({"candidates": [candidate], "usageMetadata": usage, "modelVersion": prompt.model,
           "responseId": format!("{:016x}", reply.seed)})
}

/// The parts of the answer, the text in pieces.
fn parts(prompt: &Prompt, reply: &Reply, whole: bool) -> Vec<Value> {
    let cut =
        |text: &str| if whole { vec![text.to_owned()] } else { tokens(text).into_iter().map(String::from).collect() };
    let mut parts = Vec::new();
    for thought in reply.thought.iter().filter(|_| prompt.shows_thoughts) {
        parts.extend(cut(thought).iter().map(|piece| json!({"text": piece, "thought": true})));
    }
    let signs = is_third_generation(&prompt.model);
    let first = parts.len();
    for call in &reply.calls {
        // Arguments that were cut short are no call.
        let Ok(args @ Value::Object(_)) = serde_json::from_str::<Value>(&call.arguments) else { continue };
        let mut part = json!({"functionCall": {"name": call.name, "args": args}});
        if signs {
            part["functionCall"]["id"] = call.id.as_str().into();
        }
        parts.push(part);
    }
    if reply.calls.is_empty() && !reply.refused {
        parts.extend(cut(&reply.text).iter().map(|piece| json!({ "text": piece })));
    }
    if let Some(part) = parts.get_mut(first).filter(|_| signs && (reply.thought.is_some() || !reply.calls.is_empty())) {
        part["thoughtSignature"] = signature(&prompt.model, reply.seed).into();
    }
    parts
}

fn finish(reply: &Reply) -> &'static str {
    match (reply.refused, reply.cut) {
        (true, _) => "SAFETY",
        (false, true) => "MAX_TOKENS",
        (false, false) => "STOP",
    }
}

pub(crate) fn whole(prompt: &Prompt, reply: &Reply) -> Value {
    head(prompt, reply, &parts(prompt, reply, true), Some(finish(reply)))
}

fn chunks(prompt: &Prompt, reply: &Reply) -> Vec<Value> {
    let parts = parts(prompt, reply, false);
    let last = parts.len().saturating_sub(1);
    let mut chunks: Vec<Value> = (0..)
        .zip(&parts)
        .map(|(i, part)| head(prompt, reply, std::slice::from_ref(part), (i == last).then(|| finish(reply))))
        .collect();
    if chunks.is_empty() {
        chunks.push(head(prompt, reply, &[], Some(finish(reply))));
    }
    chunks
}

/// Server-sent events, if asked for; otherwise the pieces of one JSON list.
pub(crate) fn events(prompt: &Prompt, reply: &Reply, sse: bool) -> Vec<String> {
    let chunks = chunks(prompt, reply);
    if sse {
        return chunks.iter().map(|chunk| format!("data: {chunk}\r\n\r\n")).collect();
    }
    let mut pieces: Vec<String> =
        (0..).zip(&chunks).map(|(i, chunk)| format!("{}{chunk}", if i == 0 { "[" } else { ",\r\n" })).collect();
    pieces.push("]".to_owned());
    pieces
}
