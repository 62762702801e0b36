//! The OpenAPI document: the list of operations, and in `bodies.json` what each takes and gives. What is Open
//! Responses' or a provider's own is referred to, not repeated. tests/test_openapi.py holds the answers of the real
//! binary against it.

use super::operations::{Access, Operation};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct Bodies {
    /// By name, for `#/components/schemas/`.
    schemas: Map<String, Value>,
    /// By operation id.
    operations: BTreeMap<String, Described>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Described {
    summary: String,
    /// Each parameter's schema; none is required.
    #[serde(default)]
    query: Map<String, Value>,
    request: Option<Value>,
    #[serde(default)]
    request_is_optional: bool,
    /// Of a success.
    status: String,
    /// The schema of a success by its media type.
    answers: Map<String, Value>,
    /// The schemas of answers of other statuses that are no errors.
    #[serde(default)]
    further: Map<String, Value>,
}

/// # Errors
/// When `bodies.json` is not what it should be, which a test sees to.
pub(super) fn document(operations: &[Operation]) -> serde_json::Result<Value> {
    let bodies: Bodies = serde_json::from_str(include_str!("bodies.json"))?;
    let mut paths: Map<String, Value> = Map::new();
    for operation in operations {
        // What takes the rest of the path is a parameter as any other there.
        let path = operation.path.replace("{*", "{");
        let described = described(operation, &path, bodies.operations.get(operation.id));
        let entry = paths.entry(path).or_insert_with(|| json!({}));
        entry[operation.method.as_str().to_ascii_lowercase()] = described;
    }
    Ok(json!({
        "openapi": "3.1.0",
        "info": {
            "title": "TokenRouter",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Every operation of the gateway. x-access says which keys may ask it: public (none is \
                            looked at), caller (every key of the workspace), admin (keys of scope full). Answers may \
                            get more fields in later versions.",
        },
        "components": {
            "securitySchemes": { "key": { "type": "http", "scheme": "bearer" } },
            "schemas": bodies.schemas,
            "responses": {
                "Error": {
                    "description": "What went wrong; docs/reference/errors.md has every code.",
                    "content": content(&json!({ "$ref": "#/components/schemas/Error" })),
                },
            },
        },
        "paths": paths,
    }))
}

fn content(schema: &Value) -> Value {
    json!({ "application/json": { "schema": schema } })
}

fn described(operation: &Operation, path: &str, bodies: Option<&Described>) -> Value {
    let named = |name: &str, place: &str, schema: &Value| json!({ "name": name, "in": place, "required": place == "path", "schema": schema });
    let names = path.split(['{', '}']).skip(1).step_by(2);
    let mut parameters: Vec<Value> = names.map(|name| named(name, "path", &json!({ "type": "string" }))).collect();
    let key = if operation.access == Access::Public { json!([]) } else { json!([{ "key": [] }]) };
    let mut responses = json!({ "default": { "$ref": "#/components/responses/Error" } });
    let mut described = json!({
        "operationId": operation.id,
        "security": key,
        "x-access": operation.access.as_str(),
    });
    if let Some(bodies) = bodies {
        described["summary"] = json!(bodies.summary);
        parameters.extend(bodies.query.iter().map(|(name, schema)| named(name, "query", schema)));
        if let Some(schema) = &bodies.request {
            described["requestBody"] = json!({ "required": !bodies.request_is_optional, "content": content(schema) });
        }
        responses[&bodies.status] = json!({ "description": "Success." });
        for (kind, schema) in &bodies.answers {
            responses[&bodies.status]["content"][kind]["schema"] = schema.clone();
        }
        for (status, schema) in &bodies.further {
            responses[status] = json!({ "description": "No success, and no error.", "content": content(schema) });
        }
    }
    described["parameters"] = json!(parameters);
    described["responses"] = responses;
    described
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_is_described_and_no_other_is() {
        let bodies: Bodies = serde_json::from_str(include_str!("bodies.json")).unwrap();
        let document = super::super::openapi().unwrap();
        let paths = document["paths"].as_object().unwrap().values();
        let ids = paths.flat_map(|path| path.as_object().unwrap().values()).map(|operation| &operation["operationId"]);
        let mut ids: Vec<&str> = ids.map(|id| id.as_str().unwrap()).collect();
        ids.sort_unstable();
        assert_eq!(ids, bodies.operations.keys().collect::<Vec<_>>());
    }
}
