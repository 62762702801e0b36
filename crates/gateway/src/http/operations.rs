//! The list of what can be asked: each operation with its method, its path, and which keys may ask it.
//!
//! The router is made of this list and of nothing else, so that the OpenAPI document, which is written from it,
//! cannot leave an operation out. **What the list says of access is a statement, not a guard**: handlers ask for a
//! [`Caller`](crate::auth::Caller) or an [`Admin`](crate::auth::Admin), and tests/test_authorisation.py holds every
//! operation of the document against what it says here.

use crate::app::App;
use axum::Router;
use axum::handler::Handler;
use axum::routing::{MethodFilter, on};
use http::Method;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// Who may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Anybody: no key is looked at.
    Public,
    /// Every key of the workspace.
    Caller,
    /// Keys that manage the workspace.
    Admin,
}

impl Access {
    fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Caller => "caller",
            Self::Admin => "admin",
        }
    }
}

pub(crate) struct Operation {
    id: &'static str,
    method: Method,
    path: &'static str,
    access: Access,
}

/// A router, and the list of what it answers.
pub(crate) struct Operations {
    pub router: Router<Arc<App>>,
    list: Vec<Operation>,
    access: Access,
}

impl Operations {
    pub fn new(access: Access) -> Self {
        Self { router: Router::new(), list: Vec::new(), access }
    }

    /// The id of an operation is its handler's name.
    fn add<H, T>(mut self, method: Method, path: &'static str, filter: MethodFilter, handler: H) -> Self
    where
        H: Handler<T, Arc<App>>,
        T: 'static,
    {
        let id = std::any::type_name::<H>().rsplit("::").next().unwrap_or_default();
        self.router = self.router.route(path, on(filter, handler));
        self.list.push(Operation { id, method, path, access: self.access });
        self
    }

    pub fn get<H: Handler<T, Arc<App>>, T: 'static>(self, path: &'static str, handler: H) -> Self {
        self.add(Method::GET, path, MethodFilter::GET, handler)
    }

    pub fn post<H: Handler<T, Arc<App>>, T: 'static>(self, path: &'static str, handler: H) -> Self {
        self.add(Method::POST, path, MethodFilter::POST, handler)
    }

    pub fn patch<H: Handler<T, Arc<App>>, T: 'static>(self, path: &'static str, handler: H) -> Self {
        self.add(Method::PATCH, path, MethodFilter::PATCH, handler)
    }

    pub fn delete<H: Handler<T, Arc<App>>, T: 'static>(self, path: &'static str, handler: H) -> Self {
        self.add(Method::DELETE, path, MethodFilter::DELETE, handler)
    }

    /// All of both.
    pub fn and(mut self, other: Self) -> Self {
        self.router = self.router.merge(other.router);
        self.list.extend(other.list);
        self
    }

    /// The OpenAPI document of these operations: paths, ids, parameters in paths and access. Bodies are not in it.
    pub fn document(&self) -> Value {
        let mut paths: Map<String, Value> = Map::new();
        for operation in &self.list {
            // What takes the rest of the path is a parameter as any other there.
            let path = operation.path.replace("{*", "{");
            let names = path.split(['{', '}']).skip(1).step_by(2);
            let parameters: Vec<Value> = names
                .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }))
                .collect();
            let key = if operation.access == Access::Public { json!([]) } else { json!([{ "key": [] }]) };
            let described = json!({
                "operationId": operation.id,
                "security": key,
                "x-access": operation.access.as_str(),
                "parameters": parameters,
                "responses": { "default": { "description": "JSON; docs/guides has the fields." } },
            });
            let entry = paths.entry(path).or_insert_with(|| json!({}));
            entry[operation.method.as_str().to_ascii_lowercase()] = described;
        }
        json!({
            "openapi": "3.1.0",
            "info": {
                "title": "TokenRouter",
                "version": env!("CARGO_PKG_VERSION"),
                "description": "Every operation of the gateway. x-access says which keys may ask it: public (none is \
                                looked at), caller (every key of the workspace), admin (keys of scope full).",
            },
            "components": { "securitySchemes": { "key": { "type": "http", "scheme": "bearer" } } },
            "paths": paths,
        })
    }
}
