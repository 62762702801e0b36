//! A sign of life in a stream that is silent, so that nothing between the gateway and the caller takes
//! the connection for dead.
//!
//! Only after the first event: until then the answer's head has not gone out, since it may yet become an
//! error. Whole events come from within, so a sign never falls into the middle of one.

use bytes::Bytes;
use futures_util::Stream;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep_until};

pub(super) struct KeepAlive<S> {
    inner: S,
    silence: Duration,
    sign: &'static [u8],
    /// When the last bytes went out; none did yet.
    last: Option<Instant>,
    /// Set once and let run: it is cheaper to look again than to set it anew with each event.
    alarm: Option<Pin<Box<Sleep>>>,
}

impl<S> KeepAlive<S> {
    pub fn new(inner: S, silence: Duration, sign: &'static [u8]) -> Self {
        Self { inner, silence, sign, last: None, alarm: None }
    }
}

impl<S: Stream<Item = Result<Bytes, Infallible>> + Unpin> Stream for KeepAlive<S> {
    type Item = S::Item;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if let Poll::Ready(item) = Pin::new(&mut this.inner).poll_next(context) {
            this.last = Some(Instant::now());
            return Poll::Ready(item);
        }
        let Some(last) = this.last else { return Poll::Pending };
        loop {
            let due = last + this.silence;
            let alarm = this.alarm.get_or_insert_with(|| Box::pin(sleep_until(due)));
            if alarm.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            this.alarm = None;
            if due <= Instant::now() {
                this.last = Some(Instant::now());
                return Poll::Ready(Some(Ok(Bytes::from_static(this.sign))));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::StreamExt;

    /// What comes out within two minutes of a stream that gives a piece after each wait, in seconds.
    async fn run(waits: &'static [u64]) -> Vec<(u64, Bytes)> {
        let inner = futures_util::stream::iter(waits).then(|wait| async move {
            tokio::time::sleep(Duration::from_secs(*wait)).await;
            Ok::<_, Infallible>(Bytes::from_static(b"event"))
        });
        let mut stream = KeepAlive::new(Box::pin(inner), Duration::from_secs(15), b"sign");
        let start = Instant::now();
        let mut out = Vec::new();
        while let Some(Ok(bytes)) = stream.next().await {
            out.push((start.elapsed().as_secs(), bytes));
        }
        out
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_broken_after_each_time_and_never_before_the_first_event() {
        let told = run(&[40, 5, 50]).await;
        let wanted = [(40, "event"), (45, "event"), (60, "sign"), (75, "sign"), (90, "sign"), (95, "event")];
        assert_eq!(told, wanted.map(|(at, word)| (at, Bytes::from_static(word.as_bytes()))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_lively_stream_is_left_as_it_is() {
        let told = run(&[1; 60]).await;
        assert!(told.iter().all(|(_, bytes)| &bytes[..] == b"event") && told.len() == 60);
    }
}
