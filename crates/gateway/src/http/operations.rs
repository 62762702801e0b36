//! The list of what can be asked: each operation with its method, its path, and which keys may ask it.
//!
//! The router is made of this list and of nothing else, so that the OpenAPI document, which is written from it,
//! cannot leave an operation out. **What the list says of access is a statement, not a guard**: handlers ask for a
//! [`Caller`](crate::auth::Caller) or an [`Admin`](crate::auth::Admin), and tests/test_authorisation.py holds every
//! operation of the document against what it says here.

use super::openapi;
use crate::app::App;
use axum::Router;
use axum::handler::Handler;
use axum::routing::{MethodFilter, on};
use http::Method;
use serde_json::Value;
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
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Caller => "caller",
            Self::Admin => "admin",
        }
    }
}

pub(crate) struct Operation {
    pub id: &'static str,
    pub method: Method,
    pub path: &'static str,
    pub access: Access,
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

    /// The OpenAPI document of these operations.
    ///
    /// # Errors
    /// As [`openapi::document`].
    pub fn document(&self) -> serde_json::Result<Value> {
        openapi::document(&self.list)
    }
}
