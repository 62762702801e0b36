//! Paths and queries. What cannot be read of them is told in the contract's envelope, as everything is.

use crate::error::{ApiError, Code};
use axum::extract::FromRequestParts;
use axum::extract::rejection::{PathRejection, QueryRejection};
use http::request::Parts;
use serde::de::DeserializeOwned;

/// As axum's. What is no text, or no number where there must be one, is the id of nothing: 404.
pub(super) struct Path<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let read: Result<axum::extract::Path<T>, PathRejection> =
            axum::extract::Path::from_request_parts(parts, state).await;
        read.map(|axum::extract::Path(value)| Self(value))
            .map_err(|_| ApiError::not_found("such object: what the path has as its id is none"))
    }
}

/// As axum's; what cannot be read is 400.
pub(super) struct Query<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let read: Result<axum::extract::Query<T>, QueryRejection> =
            axum::extract::Query::from_request_parts(parts, state).await;
        read.map(|axum::extract::Query(value)| Self(value)).map_err(|rejection| {
            // Such as: duplicate field `limit`.
            let why = rejection.body_text();
            let param = why.split('`').nth(1).map(str::to_owned);
            let message = match &param {
                Some(param) => format!("`{param}` in the query cannot be read, or is there twice"),
                None => "the query cannot be read".to_owned(),
            };
            ApiError { param, ..ApiError::new(Code::InvalidParameter, message) }
        })
    }
}
