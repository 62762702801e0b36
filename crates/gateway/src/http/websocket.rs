//! `/v1/responses` over WebSocket, as Open Responses describes it: `response.create` messages in, the
//! events of a stream out, each as one text message, and trouble as `error` events.
//!
//! One response at a time: what is asked for meanwhile waits, and is answered in the order in which it
//! came. With `generate: false` the request is kept to go on from, and no provider is asked. A silence is broken by
//! pings. A caller that leaves cancels what runs. The key is looked up again for every response, so that
//! one that was revoked counts no longer than it would without a connection that stays open.

use crate::app::App;
use crate::auth::Caller;
use crate::clock::now_ms;
use crate::error::{ApiError, ApiResult, Code};
use crate::pipeline::{self, DeliveryBody, EventCodec};
use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use http::HeaderMap;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokenrouter_protocol::{Object, Request, ResponseEvent, new_ordered_id};
use tokio::sync::{mpsc, watch};

/// How many messages may wait for their turn.
const MAX_WAITING: usize = 16;
/// How long a caller that reads nothing more is waited for at the end.
const CLOSE_TIME: Duration = Duration::from_secs(2);

/// The open connections: told when the gateway stops, and counted so that it can wait for them.
#[derive(Default)]
pub(crate) struct Sessions {
    stop: watch::Sender<bool>,
    open: watch::Sender<usize>,
}

impl Sessions {
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    pub async fn until_closed(&self) {
        // An error means that the sender is gone, and with it all that it counts; but we hold it.
        let _ = self.open.subscribe().wait_for(|open| *open == 0).await;
    }
}

struct Open(Arc<App>);

impl Open {
    fn new(app: &Arc<App>) -> Self {
        app.sessions.open.send_modify(|open| *open += 1);
        Self(Arc::clone(app))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.sessions.open.send_modify(|open| *open = open.saturating_sub(1));
    }
}

pub(super) async fn open_responses_socket(
    State(app): State<Arc<App>>,
    _caller: Caller,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> ApiResult<Response> {
    let upgrade = upgrade.map_err(|_| {
        ApiError::new(Code::MethodNotAllowed, "this path answers to POST, and to GET for a WebSocket alone")
    })?;
    let limit = app.max_body_bytes;
    let upgrade = upgrade.max_message_size(limit).max_frame_size(limit);
    // Counted before the connection leaves the server's own count.
    let open = Open::new(&app);
    Ok(upgrade.on_upgrade(move |socket| async move {
        serve(app, headers, socket).await;
        drop(open);
    }))
}

/// Why the connection ends.
enum End {
    /// The caller closed it, or it broke.
    Gone,
    Close(u16, &'static str),
}

async fn serve(app: Arc<App>, headers: HeaderMap, socket: WebSocket) {
    let (mut sink, mut messages) = socket.split();
    let (queue, mut waiting) = mpsc::channel::<String>(MAX_WAITING);
    let mut stop = app.sessions.stop.subscribe();
    let mut cut = app.cut.subscribe();
    // Of a caller that reads nothing more, the running response cannot be ended by telling it so.
    let dropped = async {
        if cut.wait_for(Option::is_some).await.is_ok() {
            tokio::time::sleep(CLOSE_TIME).await;
        }
    };
    let end = {
        let answer = async {
            loop {
                let woken = tokio::select! {
                    biased;
                    _ = stop.wait_for(|stop| *stop) => return End::Close(close_code::AWAY, "the gateway stops"),
                    text = waiting.recv() => Some(text),
                    () = silence(&app) => None,
                };
                let text = match woken {
                    Some(Some(text)) => text,
                    // The reader ends first, and says why.
                    Some(None) => return std::future::pending().await,
                    None => match ping(&mut sink).await {
                        Ok(()) => continue,
                        Err(end) => return end,
                    },
                };
                if let Err(end) = respond(&app, &headers, &text, &mut sink).await {
                    return end;
                }
            }
        };
        tokio::select! {
            end = answer => end,
            end = read(&mut messages, queue) => end,
            () = dropped => End::Close(close_code::AWAY, "the gateway stops"),
        }
    };
    if let End::Close(code, reason) = end {
        let error = match code {
            close_code::SIZE => Some(ApiError::new(Code::PayloadTooLarge, reason)),
            close_code::UNSUPPORTED => Some(ApiError::new(Code::InvalidParameter, reason)),
            close_code::AGAIN => Some(ApiError::new(Code::RateLimitExceeded, reason)),
            _ => None,
        };
        let close = async {
            if let Some(error) = error {
                let error = error.with_request_id(&new_ordered_id("req", now_ms()));
                sink.send(Message::Text(error_event(&error, None).into())).await?;
            }
            sink.send(Message::Close(Some(CloseFrame { code, reason: reason.into() }))).await?;
            // A connection that is dropped with messages unread is reset, and what was just said may be lost.
            while messages.next().await.is_some_and(|message| message.is_ok()) {}
            Ok::<(), axum::Error>(())
        };
        // What cannot be sent any more is not read by anybody.
        let _ = tokio::time::timeout(CLOSE_TIME, close).await;
    }
}

/// Takes messages in until the caller leaves or does what ends the connection.
async fn read(messages: &mut SplitStream<WebSocket>, queue: mpsc::Sender<String>) -> End {
    loop {
        match messages.next().await {
            Some(Ok(Message::Text(text))) => {
                if queue.try_send(text.as_str().to_owned()).is_err() {
                    return End::Close(close_code::AGAIN, "too many messages wait for their turn");
                }
            }
            Some(Ok(Message::Binary(_))) => {
                return End::Close(close_code::UNSUPPORTED, "messages must be text, not binary");
            }
            // Answered by the library.
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Ok(Message::Close(_))) | None => return End::Gone,
            Some(Err(error)) => {
                return if too_long(&error) {
                    End::Close(close_code::SIZE, "the message is longer than `server.max_body_bytes`")
                } else {
                    End::Gone
                };
            }
        }
    }
}

fn too_long(error: &axum::Error) -> bool {
    error.to_string().contains("too long")
}

type Sink = SplitSink<WebSocket, Message>;

/// Comes back when nothing has been sent for as long as `server.heartbeat_ms` allows; never, if that is zero.
async fn silence(app: &App) {
    if app.heartbeat.is_zero() {
        return std::future::pending().await;
    }
    tokio::time::sleep(app.heartbeat).await;
}

/// A sign of life, for what stands between and closes connections that are silent.
async fn ping(sink: &mut Sink) -> Result<(), End> {
    sink.send(Message::Ping(Bytes::new())).await.map_err(|_| End::Gone)
}

/// What `work` gives, with signs of life until then.
async fn pinging<T>(app: &App, sink: &mut Sink, work: impl Future<Output = T>) -> Result<T, End> {
    let mut work = std::pin::pin!(work);
    loop {
        tokio::select! {
            biased;
            done = &mut work => return Ok(done),
            () = silence(app) => ping(sink).await?,
        }
    }
}

/// Answers one message; an error if the connection is over.
async fn respond(app: &Arc<App>, headers: &HeaderMap, text: &str, sink: &mut Sink) -> Result<(), End> {
    let request_id = new_ordered_id("req", now_ms());
    let mut lane = None;
    let place = pinging(app, sink, app.in_flight.enter()).await?;
    let created = match &place {
        Ok(_) => pinging(app, sink, create(app, headers, text, &request_id, &mut lane)).await?,
        Err(error) => Err(error.clone()),
    };
    let error = match created {
        Ok(DeliveryBody::Stream(mut stream)) => {
            while let Some(Ok(bytes)) = pinging(app, sink, stream.next()).await? {
                for event in bytes.split(|byte| *byte == b'\n').filter(|event| !event.is_empty()) {
                    let event = String::from_utf8_lossy(event).into_owned();
                    sink.send(Message::Text(event.into())).await.map_err(|_| End::Gone)?;
                }
            }
            return Ok(());
        }
        Ok(DeliveryBody::Plain(..)) => ApiError::internal(&"a stream was asked for"),
        Err(error) => error,
    };
    let error = error.with_request_id(&request_id);
    let event = error_event(&error, lane.as_deref());
    sink.send(Message::Text(event.into())).await.map_err(|_| End::Gone)?;
    if error.code == Code::InvalidApiKey {
        return Err(End::Close(close_code::POLICY, "the API key is not valid any more"));
    }
    Ok(())
}

async fn create(
    app: &Arc<App>,
    headers: &HeaderMap,
    text: &str,
    request_id: &str,
    lane: &mut Option<String>,
) -> ApiResult<DeliveryBody> {
    let caller = Caller::authenticate(app, headers).await?;
    let mut map = match serde_json::from_str(text) {
        Ok(Value::Object(map)) => map,
        Ok(_) => return Err(ApiError::new(Code::InvalidParameter, "the message must be a JSON object")),
        Err(error) => {
            let message =
                format!("the message is not JSON: it breaks off at line {}, column {}", error.line(), error.column());
            return Err(ApiError::new(Code::InvalidJson, message));
        }
    };
    let generate = envelope(&mut map, lane)?;
    let mut request = Request::parse(Value::Object(map))?;
    request.stream = true;
    request.warm_up = !generate;
    if request.warm_up && !request.store {
        let message = "`generate: false` keeps a request to go on from: it needs `store`";
        return Err(ApiError::parameter("generate", message));
    }
    let codec = Box::new(MessageCodec { lane: lane.clone() });
    Ok(pipeline::run(app, &caller, request_id, request, codec).await?.body)
}

/// Takes out what belongs to the WebSocket and not to the request: the name that the events are to bear, which is put
/// into `lane`, and whether an answer is wanted.
fn envelope(map: &mut Object, lane: &mut Option<String>) -> ApiResult<bool> {
    match map.shift_remove("type") {
        Some(Value::String(kind)) if kind == "response.create" => {}
        Some(Value::String(kind)) => {
            let message = format!("a message's `type` must be response.create, not `{kind}`");
            return Err(ApiError::parameter("type", message));
        }
        Some(_) | None => return Err(ApiError::parameter("type", "a message must have the `type` response.create")),
    }
    *lane = match map.shift_remove("stream_id") {
        None | Some(Value::Null) => None,
        Some(Value::String(lane)) => Some(lane),
        Some(_) => return Err(ApiError::parameter("stream_id", "`stream_id` must be a string")),
    };
    for name in ["stream", "stream_options", "background"] {
        if map.shift_remove(name).is_some_and(|value| !value.is_null()) {
            let message = format!("`{name}` is of HTTP and cannot be sent over a WebSocket, which always streams");
            return Err(ApiError::parameter(name, message));
        }
    }
    match map.shift_remove("generate") {
        None | Some(Value::Null) => Ok(true),
        Some(Value::Bool(generate)) => Ok(generate),
        Some(_) => Err(ApiError::parameter("generate", "`generate` must be true or false")),
    }
}

fn error_event(error: &ApiError, lane: Option<&str>) -> String {
    let mut event = json!({ "type": "error", "status": error.status(), "error": error.body() });
    if let Some(lane) = lane {
        event["stream_id"] = lane.into();
    }
    event.to_string()
}

/// A line an event: JSON has no raw line breaks.
struct MessageCodec {
    lane: Option<String>,
}

impl EventCodec for MessageCodec {
    fn event(&mut self, event: &ResponseEvent, bytes: &mut Vec<u8>) {
        let written = match &self.lane {
            None => serde_json::to_writer(&mut *bytes, event),
            Some(lane) => serde_json::to_value(event).and_then(|mut value| {
                value["stream_id"] = lane.as_str().into();
                serde_json::to_writer(&mut *bytes, &value)
            }),
        };
        if let Err(error) = written {
            tracing::error!(%error, "an event could not be written");
        }
        bytes.push(b'\n');
    }

    fn end(&mut self, _bytes: &mut Vec<u8>) {}

    /// A WebSocket has pings of its own.
    fn keep_alive(&self) -> &'static [u8] {
        b""
    }
}
