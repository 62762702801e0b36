//! A stored response as the events that it once was, but for how its text was cut into deltas.

use super::sse;
use serde_json::{Value, json};

/// The whole event stream.
pub(super) fn events(response: Value) -> Vec<u8> {
    let mut replay = Replay { bytes: Vec::new(), sequence_number: 0 };
    let mut beginning = response.clone();
    for (name, value) in [
        ("status", json!("in_progress")),
        ("output", json!([])),
        ("usage", Value::Null),
        ("completed_at", Value::Null),
        ("incomplete_details", Value::Null),
        ("error", Value::Null),
    ] {
        beginning[name] = value;
    }
    replay.emit("response.created", json!({ "response": beginning }));
    replay.emit("response.in_progress", json!({ "response": beginning }));
    for (output_index, item) in response["output"].as_array().into_iter().flatten().enumerate() {
        replay.item(output_index, item);
    }
    let last = match response["status"].as_str() {
        Some("failed") => "response.failed",
        Some("incomplete") => "response.incomplete",
        _ => "response.completed",
    };
    replay.emit(last, json!({ "response": response }));
    replay.bytes.extend_from_slice(b"data: [DONE]\n\n");
    replay.bytes
}

struct Replay {
    bytes: Vec<u8>,
    sequence_number: u64,
}

impl Replay {
    fn emit(&mut self, kind: &str, fields: Value) {
        let mut event = json!({ "type": kind, "sequence_number": self.sequence_number });
        if let (Value::Object(event), Value::Object(fields)) = (&mut event, fields) {
            event.extend(fields);
        }
        sse::write(&mut self.bytes, kind, &event);
        self.sequence_number += 1;
    }

    fn item(&mut self, output_index: usize, item: &Value) {
        let mut started = item.clone();
        for name in ["content", "summary"] {
            if started[name].is_array() {
                started[name] = json!([]);
            }
        }
        let custom = item["type"] == "custom_tool_call";
        for name in ["arguments", "input"] {
            if started[name].is_string() && (custom || name == "arguments") {
                started[name] = json!("");
            }
        }
        if started["status"].is_string() {
            started["status"] = json!("in_progress");
        }
        self.emit("response.output_item.added", json!({ "output_index": output_index, "item": started }));
        let id = &item["id"];
        for (i, part) in item["summary"].as_array().into_iter().flatten().enumerate() {
            let place = json!({ "item_id": id, "output_index": output_index, "summary_index": i });
            self.part("response.reasoning_summary_part", "response.reasoning_summary_text", &place, part, "text");
        }
        for (i, part) in item["content"].as_array().into_iter().flatten().enumerate() {
            let place = json!({ "item_id": id, "output_index": output_index, "content_index": i });
            let (stem, field) = match part["type"].as_str() {
                Some("refusal") => ("response.refusal", "refusal"),
                Some("reasoning_text") => ("response.reasoning", "text"),
                _ => ("response.output_text", "text"),
            };
            self.part("response.content_part", stem, &place, part, field);
        }
        if item["type"] == "function_call" {
            let place = json!({ "item_id": id, "output_index": output_index });
            let arguments = &item["arguments"];
            self.at("response.function_call_arguments.delta", &place, json!({ "delta": arguments }));
            if item["status"] == "completed" {
                self.at("response.function_call_arguments.done", &place, json!({ "arguments": arguments }));
            }
        }
        if custom {
            let place = json!({ "item_id": id, "output_index": output_index });
            let input = &item["input"];
            if input.as_str().is_some_and(|input| !input.is_empty()) {
                self.at("response.custom_tool_call_input.delta", &place, json!({ "delta": input }));
            }
            if item["status"] == "completed" {
                self.at("response.custom_tool_call_input.done", &place, json!({ "input": input }));
            }
        }
        self.emit("response.output_item.done", json!({ "output_index": output_index, "item": item }));
    }

    fn part(&mut self, part_stem: &str, text_stem: &str, place: &Value, part: &Value, field: &str) {
        let mut empty = part.clone();
        empty[field] = json!("");
        for list in ["annotations", "logprobs"] {
            if empty[list].is_array() {
                empty[list] = json!([]);
            }
        }
        let text = &part[field];
        let output_text = text_stem == "response.output_text";
        let with_logprobs = |mut fields: Value| {
            if output_text {
                fields["logprobs"] = part["logprobs"].as_array().cloned().unwrap_or_default().into();
            }
            fields
        };
        self.at(&format!("{part_stem}.added"), place, json!({ "part": empty }));
        if text.as_str().is_some_and(|text| !text.is_empty()) {
            self.at(&format!("{text_stem}.delta"), place, with_logprobs(json!({ "delta": text })));
        }
        for (i, annotation) in part["annotations"].as_array().into_iter().flatten().enumerate() {
            let fields = json!({ "annotation_index": i, "annotation": annotation });
            self.at("response.output_text.annotation.added", place, fields);
        }
        self.at(&format!("{text_stem}.done"), place, with_logprobs(json!({ field: text })));
        self.at(&format!("{part_stem}.done"), place, json!({ "part": part }));
    }

    fn at(&mut self, kind: &str, place: &Value, fields: Value) {
        let mut event = place.clone();
        if let (Value::Object(event), Value::Object(fields)) = (&mut event, fields) {
            event.extend(fields);
        }
        self.emit(kind, event);
    }
}
