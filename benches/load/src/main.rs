//! The load generator of `make bench`: one request, many times, over kept connections to one address.
//!
//! `tokenrouter-load '{"url": …, "headers": {…}, "body": …, "connections": 64, "requests": 20000}'`; with
//! `rate` (requests a second) in place of a closed loop, requests are sent at their times whether or not
//! those before have been answered. Prints one line of JSON: counts, seconds, and percentiles in
//! microseconds of the whole answer and of its first text. One thread, so that it can be given one core.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Uri};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::{Value, json};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::task::LocalSet;

type Problem = Box<dyn std::error::Error>;

#[derive(Deserialize)]
struct Plan {
    url: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    body: String,
    connections: usize,
    requests: u64,
    /// None: as fast as the connections allow.
    rate: Option<f64>,
    /// What begins the first text of a streamed answer.
    first_text: Option<String>,
}

#[derive(Default)]
struct Seen {
    whole_us: Vec<u64>,
    first_us: Vec<u64>,
    failed: u64,
}

struct Load {
    plan: Plan,
    uri: Uri,
    headers: Vec<(HeaderName, HeaderValue)>,
    left: Cell<u64>,
    seen: RefCell<Seen>,
}

fn main() -> Result<(), Problem> {
    let argument = std::env::args().nth(1).ok_or("the plan, as JSON, is the one argument")?;
    let plan: Plan = serde_json::from_str(&argument)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = LocalSet::new().block_on(&runtime, run(plan))?;
    println!("{result}");
    Ok(())
}

async fn run(plan: Plan) -> Result<Value, Problem> {
    let uri: Uri = plan.url.parse()?;
    let mut headers = vec![(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    headers.push((http::header::HOST, HeaderValue::from_str(uri.authority().ok_or("no host")?.as_str())?));
    for (name, value) in &plan.headers {
        headers.push((name.parse()?, HeaderValue::from_str(value)?));
    }
    let (left, connections) = (Cell::new(plan.requests), plan.connections);
    let load = Rc::new(Load { plan, uri, headers, left, seen: RefCell::default() });
    let mut senders = Vec::new();
    for _ in 0..connections {
        senders.push(connect(&load.uri).await?);
    }
    let began = Instant::now();
    match load.plan.rate {
        None => {
            let tasks: Vec<_> =
                senders.into_iter().map(|s| tokio::task::spawn_local(loop_over(Rc::clone(&load), s))).collect();
            for task in tasks {
                task.await?;
            }
        }
        Some(rate) => at_rate(&load, senders, rate).await?,
    }
    let seconds = began.elapsed().as_secs_f64();
    let mut seen = load.seen.borrow_mut();
    let (done, failed) = (seen.whole_us.len(), seen.failed);
    Ok(json!({
        "requests": done, "failed": failed, "seconds": seconds,
        "whole_us": percentiles(&mut seen.whole_us), "first_us": percentiles(&mut seen.first_us),
    }))
}

async fn connect(uri: &Uri) -> Result<SendRequest<Full<Bytes>>, Problem> {
    let stream = TcpStream::connect(uri.authority().ok_or("no host")?.as_str()).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    tokio::task::spawn_local(connection);
    Ok(sender)
}

async fn loop_over(load: Rc<Load>, mut sender: SendRequest<Full<Bytes>>) {
    while load.left.get() > 0 {
        load.left.set(load.left.get() - 1);
        if !send(&load, &mut sender).await {
            match connect(&load.uri).await {
                Ok(fresh) => sender = fresh,
                Err(_) => return,
            }
        }
    }
}

async fn at_rate(load: &Rc<Load>, senders: Vec<SendRequest<Full<Bytes>>>, rate: f64) -> Result<(), Problem> {
    let idle = Rc::new(RefCell::new(senders));
    let mut tasks = Vec::new();
    let began = tokio::time::Instant::now();
    for number in 0..load.plan.requests {
        #[allow(clippy::cast_precision_loss)]
        let at = Duration::from_secs_f64(number as f64 / rate);
        tokio::time::sleep_until(began + at).await;
        let taken = idle.borrow_mut().pop();
        let mut sender = match taken {
            Some(sender) => sender,
            None => connect(&load.uri).await?,
        };
        let (load, idle) = (Rc::clone(load), Rc::clone(&idle));
        tasks.push(tokio::task::spawn_local(async move {
            if send(&load, &mut sender).await {
                idle.borrow_mut().push(sender);
            }
        }));
    }
    for task in tasks {
        task.await?;
    }
    Ok(())
}

/// Whether the connection can be used again.
async fn send(load: &Load, sender: &mut SendRequest<Full<Bytes>>) -> bool {
    let mut request = Request::new(Full::new(Bytes::from(load.plan.body.clone())));
    *request.method_mut() = http::Method::POST;
    if let Some(path) = load.uri.path_and_query() {
        *request.uri_mut() = Uri::from(path.clone());
    }
    request.headers_mut().extend(load.headers.iter().cloned());
    let began = Instant::now();
    let first_text = load.plan.first_text.as_deref().map(str::as_bytes);
    let answered = async {
        sender.ready().await?;
        let response = sender.send_request(request).await?;
        let ok = response.status().is_success();
        let mut body = response.into_body();
        let mut first = None;
        while let Some(frame) = body.frame().await {
            let frame = frame?;
            if let (None, Some(wanted), Some(data)) = (first, first_text, frame.data_ref())
                && memchr::memmem::find(data, wanted).is_some()
            {
                first = Some(began.elapsed());
            }
        }
        Ok::<_, hyper::Error>((ok, first))
    };
    let result = answered.await;
    let mut seen = load.seen.borrow_mut();
    match result {
        Ok((true, first)) => {
            seen.whole_us.push(micros(began.elapsed()));
            seen.first_us.extend(first.map(micros));
            true
        }
        Ok((false, _)) => {
            seen.failed += 1;
            true
        }
        Err(_) => {
            seen.failed += 1;
            false
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn percentiles(values: &mut [u64]) -> Value {
    values.sort_unstable();
    let at = |share: f64| {
        #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let index = (share * values.len() as f64) as usize;
        values.get(index.min(values.len().saturating_sub(1))).copied()
    };
    json!({ "p50": at(0.50), "p90": at(0.90), "p99": at(0.99), "max": values.last() })
}
