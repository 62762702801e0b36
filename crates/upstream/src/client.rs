//! One HTTP client for all providers, with pooled connections and a time limit on every wait.

use crate::endpoint::Endpoint;
use crate::failure::{Class, Failure};
use crate::sse::{SseDecoder, SseEvent};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client as HyperClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::time::Duration;
use tokenrouter_providers::{Kind, decode_error};
use tokio::time::timeout;

/// The kind of a failure where the connection broke before the first byte of an answer.
pub const LOST_BEFORE_ANSWER: &str = "connection_lost_before_answer";

#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Until the provider's status line and headers are there.
    pub first_byte: Duration,
    /// Between two pieces of a streamed answer.
    pub between_events: Duration,
    /// The longest answer, in bytes.
    pub max_answer_bytes: usize,
}

#[derive(Clone)]
pub struct Client {
    inner: HyperClient<HttpsConnector<HttpConnector>, Full<Bytes>>,
    limits: Limits,
}

impl Client {
    /// `connect`: how long a connection may take to be made.
    #[must_use]
    pub fn new(connect: Duration, limits: Limits) -> Self {
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_connect_timeout(Some(connect));
        let https = hyper_rustls::HttpsConnectorBuilder::new()
            .with_webpki_roots()
            .https_or_http()
            .enable_http1()
            .enable_http2()
            .wrap_connector(http);
        let inner = HyperClient::builder(TokioExecutor::new())
            .pool_idle_timeout(Duration::from_secs(60))
            .pool_max_idle_per_host(256)
            .pool_timer(TokioTimer::new())
            .build(https);
        Self { inner, limits }
    }

    /// Posts a JSON body and waits for the head of the answer.
    ///
    /// # Errors
    /// When nothing answers in time, or what answers reports an error.
    pub async fn post(
        &self,
        kind: Kind,
        endpoint: &Endpoint,
        path: &str,
        headers: &[(HeaderName, HeaderValue)],
        body: Vec<u8>,
    ) -> Result<Answer, Failure> {
        let mut request = Request::new(Full::new(Bytes::from(body)));
        *request.method_mut() = Method::POST;
        request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self.send(kind, endpoint, path, headers, request).await
    }

    /// Asks for what costs nothing, such as a list of models.
    ///
    /// # Errors
    /// As [`post`](Self::post).
    pub async fn get(
        &self,
        kind: Kind,
        endpoint: &Endpoint,
        path: &str,
        headers: &[(HeaderName, HeaderValue)],
    ) -> Result<Answer, Failure> {
        self.send(kind, endpoint, path, headers, Request::new(Full::default())).await
    }

    async fn send(
        &self,
        kind: Kind,
        endpoint: &Endpoint,
        path: &str,
        headers: &[(HeaderName, HeaderValue)],
        mut request: Request<Full<Bytes>>,
    ) -> Result<Answer, Failure> {
        *request.uri_mut() = endpoint.uri(path).map_err(|_| Failure::new(Class::Unreachable, "bad_address"))?;
        let map = request.headers_mut();
        map.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        map.insert(header::USER_AGENT, HeaderValue::from_static(concat!("tokenrouter/", env!("CARGO_PKG_VERSION"))));
        for (name, value) in headers {
            map.insert(name.clone(), value.clone());
        }
        if let Some((name, value)) = endpoint.auth().map_err(|_| Failure::new(Class::Unreachable, "bad_key"))? {
            map.insert(name, value);
        }
        let response = match timeout(self.limits.first_byte, self.inner.request(request)).await {
            Err(_) => return Err(Failure::new(Class::Timeout, "first_byte")),
            Ok(Err(error)) if error.is_connect() => return Err(Failure::new(Class::Unreachable, "connect")),
            Ok(Err(_)) => return Err(Failure::new(Class::Transient, LOST_BEFORE_ANSWER)),
            Ok(Ok(response)) => response,
        };
        let (head, body) = response.into_parts();
        let answer = Answer { body, limits: self.limits };
        let status = head.status;
        if status.is_success() {
            let plain = head.headers.get(header::CONTENT_ENCODING).is_none_or(|v| v == "identity");
            return if plain { Ok(answer) } else { Err(Failure::new(Class::Garbage, "compressed_answer")) };
        }
        if status.is_redirection() || status.is_informational() {
            return Err(Failure::new(Class::Garbage, "redirect"));
        }
        let retry_after = retry_after(&head.headers);
        let body = answer.bytes().await.unwrap_or_default();
        let mut error = decode_error(kind, status.as_u16(), &body);
        endpoint.redact(&mut error);
        Err(Failure::reported(error, retry_after))
    }
}

/// `Retry-After` in seconds; a date there is not read, since it needs a clock.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: f64 = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    (0.0..=86_400.0).contains(&seconds).then(|| Duration::from_secs_f64(seconds))
}

/// An answer whose head said success.
pub struct Answer {
    body: Incoming,
    limits: Limits,
}

impl Answer {
    /// The whole body.
    ///
    /// # Errors
    /// When it breaks off, stalls, or is longer than the limit.
    pub async fn bytes(mut self) -> Result<Vec<u8>, Failure> {
        let mut bytes = Vec::new();
        while let Some(piece) = next_piece(&mut self.body, self.limits.first_byte).await? {
            if bytes.len() + piece.len() > self.limits.max_answer_bytes {
                return Err(Failure::new(Class::Garbage, "answer_too_long"));
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    }

    #[must_use]
    pub fn events(self) -> EventStream {
        EventStream { body: self.body, limits: self.limits, decoder: SseDecoder::default(), taken: 0 }
    }
}

/// The server-sent events of an answer. Dropping it closes the connection, which tells the provider
/// to stop.
pub struct EventStream {
    body: Incoming,
    limits: Limits,
    decoder: SseDecoder,
    /// In bytes.
    taken: usize,
}

impl EventStream {
    /// An event that has already arrived, without waiting.
    ///
    /// # Errors
    /// When the stream is not one of events.
    pub fn ready(&mut self) -> Result<Option<SseEvent>, Failure> {
        self.decoder.next().map_err(|_| Failure::new(Class::Garbage, "bad_event_stream"))
    }

    /// The next event; none at the end.
    ///
    /// # Errors
    /// When the stream breaks off, stalls, or is not one of events.
    pub async fn next(&mut self) -> Result<Option<SseEvent>, Failure> {
        loop {
            if let Some(event) = self.ready()? {
                return Ok(Some(event));
            }
            match next_piece(&mut self.body, self.limits.between_events).await? {
                Some(piece) => {
                    self.taken = self.taken.saturating_add(piece.len());
                    if self.taken > self.limits.max_answer_bytes {
                        return Err(Failure::new(Class::Garbage, "answer_too_long"));
                    }
                    self.decoder.push(&piece);
                }
                None => return Ok(None),
            }
        }
    }
}

async fn next_piece(body: &mut Incoming, limit: Duration) -> Result<Option<Bytes>, Failure> {
    loop {
        match timeout(limit, body.frame()).await {
            Err(_) => return Err(Failure::new(Class::Timeout, "stalled")),
            Ok(None) => return Ok(None),
            Ok(Some(Err(_))) => return Err(Failure::new(Class::Transient, "connection_lost")),
            Ok(Some(Ok(frame))) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
        }
    }
}
