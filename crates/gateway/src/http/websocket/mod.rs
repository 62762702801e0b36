//! `/v1/responses` over WebSocket, as Open Responses describes it: `response.create` messages in, the
//! events of a stream out, each as one text message, and trouble as `error` events.
//!
//! One response at a time: what is asked for meanwhile waits, and is answered in the order in which it
//! came. With `generate: false` the request is kept to go on from, and no provider is asked. A silence is broken by
//! pings. A caller that leaves cancels what runs. The key is looked up again for every response, so that
//! one that was revoked counts no longer than it would without a connection that stays open.
//!
//! What is not stored can be gone on from on its own connection, which keeps the last turn of each lane in memory
//! until a request that goes on from it fails. A connection ends after an hour, as Open Responses has it.

mod message;
mod sessions;

pub(crate) use sessions::Sessions;

use crate::app::App;
use crate::auth::Caller;
use crate::clock::now_ms;
use crate::error::{ApiError, ApiResult, Code};
use crate::pipeline::{self, DeliveryBody, Local, LocalTurns};
use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use http::HeaderMap;
use message::{MessageCodec, envelope, error_event};
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokenrouter_protocol::{Request, new_ordered_id};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// How many messages may wait for their turn, of `server.max_body_bytes` in all.
const MAX_WAITING: usize = 16;
/// How long a caller that reads nothing more is waited for at the end.
const CLOSE_TIME: Duration = Duration::from_secs(2);

pub(super) async fn open_responses_socket(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> ApiResult<Response> {
    let upgrade = upgrade.map_err(|_| {
        ApiError::new(Code::MethodNotAllowed, "this path answers to POST, and to GET for a WebSocket alone")
    })?;
    let limit = app.max_body_bytes;
    let upgrade = upgrade.max_message_size(limit).max_frame_size(limit);
    // Counted before the connection leaves the server's own count.
    let open = app.sessions.enter(caller.workspace_id)?;
    Ok(upgrade.on_upgrade(move |socket| async move {
        serve(app, headers, socket).await;
        drop(open);
    }))
}

/// Why the connection ends.
enum End {
    /// The caller closed it, or it broke.
    Gone,
    /// With this code; what its last event tells, if it has one; and why.
    Close(u16, Option<Code>, &'static str),
}

const STOPPING: End = End::Close(close_code::AWAY, None, "the gateway stops");

/// What stands for as long as the connection does.
struct Session {
    app: Arc<App>,
    headers: HeaderMap,
    turns: Arc<LocalTurns>,
}

async fn serve(app: Arc<App>, headers: HeaderMap, socket: WebSocket) {
    let (mut sink, mut messages) = socket.split();
    let (queue, mut waiting) = mpsc::channel::<String>(MAX_WAITING);
    let waiting_bytes = AtomicUsize::new(0);
    // What could have been sent at once over HTTP.
    let turns = Arc::new(LocalTurns::new(app.max_body_bytes));
    let until = Instant::now().checked_add(app.sessions.longest);
    let session = Session { app: Arc::clone(&app), headers, turns };
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
                    _ = stop.wait_for(|stop| *stop) => return STOPPING,
                    () = at(until) => {
                        let code = Some(Code::WebSocketLimitReached);
                        return End::Close(close_code::NORMAL, code, "the connection has been open for as long as one may be");
                    }
                    text = waiting.recv() => Some(text),
                    () = silence(&app) => None,
                };
                let text = match woken {
                    Some(Some(text)) => {
                        waiting_bytes.fetch_sub(text.len(), Ordering::Relaxed);
                        text
                    }
                    // The reader ends first, and says why.
                    Some(None) => return std::future::pending().await,
                    None => match ping(&mut sink).await {
                        Ok(()) => continue,
                        Err(end) => return end,
                    },
                };
                if let Err(end) = respond(&session, &text, &mut sink).await {
                    return end;
                }
            }
        };
        tokio::select! {
            end = answer => end,
            end = read(&mut messages, queue, (&waiting_bytes, app.max_body_bytes)) => end,
            () = dropped => STOPPING,
        }
    };
    if let End::Close(code, error, reason) = end {
        let close = async {
            if let Some(error) = error {
                let error = ApiError::new(error, reason).with_request_id(&new_ordered_id("req", now_ms()));
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

/// Takes messages in until the caller leaves or does what ends the connection. So many bytes wait, of so many that may.
async fn read(
    messages: &mut SplitStream<WebSocket>,
    queue: mpsc::Sender<String>,
    (waiting, most): (&AtomicUsize, usize),
) -> End {
    loop {
        match messages.next().await {
            Some(Ok(Message::Text(text))) => {
                let before = waiting.fetch_add(text.len(), Ordering::Relaxed);
                if before.saturating_add(text.len()) > most || queue.try_send(text.as_str().to_owned()).is_err() {
                    let code = Some(Code::RateLimitExceeded);
                    return End::Close(close_code::AGAIN, code, "too many messages wait for their turn");
                }
            }
            Some(Ok(Message::Binary(_))) => {
                let code = Some(Code::InvalidParameter);
                return End::Close(close_code::UNSUPPORTED, code, "messages must be text, not binary");
            }
            // Answered by the library.
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Ok(Message::Close(_))) | None => return End::Gone,
            Some(Err(error)) => {
                if !too_long(&error) {
                    return End::Gone;
                }
                let code = Some(Code::PayloadTooLarge);
                return End::Close(close_code::SIZE, code, "the message is longer than `server.max_body_bytes`");
            }
        }
    }
}

fn too_long(error: &axum::Error) -> bool {
    error.to_string().contains("too long")
}

type Sink = SplitSink<WebSocket, Message>;

/// Comes back then; never, if that is beyond all clocks.
async fn at(until: Option<Instant>) {
    match until {
        Some(until) => tokio::time::sleep_until(until).await,
        None => std::future::pending().await,
    }
}

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
async fn respond(session: &Session, text: &str, sink: &mut Sink) -> Result<(), End> {
    let app = &session.app;
    let request_id = new_ordered_id("req", now_ms());
    let mut head = Head::default();
    let place = pinging(app, sink, app.in_flight.enter()).await?;
    let created = match &place {
        Ok(_) => pinging(app, sink, create(session, text, &request_id, &mut head)).await?,
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
            if stream.has_failed() {
                head.forget_turn(session);
            }
            return Ok(());
        }
        Ok(DeliveryBody::Plain(..)) => ApiError::internal(&"a stream was asked for"),
        Err(error) => error,
    };
    head.forget_turn(session);
    let error = error.with_request_id(&request_id);
    let event = error_event(&error, head.lane.as_deref());
    sink.send(Message::Text(event.into())).await.map_err(|_| End::Gone)?;
    if error.code == Code::InvalidApiKey {
        return Err(End::Close(close_code::POLICY, None, "the API key is not valid any more"));
    }
    Ok(())
}

/// What is known of a message whether it can be answered or not.
#[derive(Default)]
struct Head {
    /// The name that its events are to bear.
    lane: Option<String>,
    /// What it goes on from.
    previous: Option<String>,
}

impl Head {
    /// After a failure, as Open Responses has it: the caller sends its history anew.
    fn forget_turn(&self, session: &Session) {
        if let Some(id) = &self.previous {
            session.turns.forget(id);
        }
    }
}

async fn create(session: &Session, text: &str, request_id: &str, head: &mut Head) -> ApiResult<DeliveryBody> {
    let app = &session.app;
    let caller = Caller::authenticate(app, &session.headers).await?;
    let mut map = match serde_json::from_str(text) {
        Ok(Value::Object(map)) => map,
        Ok(_) => return Err(ApiError::new(Code::InvalidParameter, "the message must be a JSON object")),
        Err(error) => {
            let message =
                format!("the message is not JSON: it breaks off at line {}, column {}", error.line(), error.column());
            return Err(ApiError::new(Code::InvalidJson, message));
        }
    };
    head.previous = map.get("previous_response_id").and_then(Value::as_str).map(str::to_owned);
    let generate = envelope(&mut map, &mut head.lane)?;
    let mut request = Request::parse(Value::Object(map))?;
    request.stream = true;
    request.warm_up = !generate;
    let codec = Box::new(MessageCodec { lane: head.lane.clone() });
    let local = Local::new(Arc::clone(&session.turns), head.lane.clone());
    Ok(pipeline::run_on(app, &caller, request_id, request, codec, Some(local)).await?.body)
}
