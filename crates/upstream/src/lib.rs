//! Talking to providers: the HTTP client, server-sent events, and what a failure means.
//!
//! The only crate that opens a connection. It sends bytes to an [`Endpoint`] that the settings gave
//! and follows no redirect: nothing that a caller sends can choose a host, and a provider's key
//! goes to that provider's host alone. It knows how to tell a failure that another target may heal
//! from one that it will not; which target comes next is the gateway's decision.

mod breaker;
mod budget;
mod client;
mod endpoint;
mod failure;
mod health;
pub mod sse;

pub use breaker::{Breaker, BreakerOptions, Verdict};
pub use budget::BudgetOptions;
pub use client::{Answer, Client, EventStream, LOST_BEFORE_ANSWER, Limits};
pub use endpoint::{Endpoint, EndpointError, is_loopback};
pub use failure::{Class, Failure};
pub use health::{Asked, Ejection, Health, HealthOptions, Reason, too_many};
