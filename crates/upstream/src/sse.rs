//! Server-sent events, from bytes in pieces of any size.
//!
//! As the WHATWG describes the format: lines end with `\n`, `\r\n` or `\r`; a blank line ends an
//! event; `:` begins a comment; several `data:` lines are joined by `\n`; a byte order mark at the
//! start is skipped. **However the bytes are cut, the events are the same.**

use memchr::memchr2;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SseEvent {
    /// Empty when the event has no name.
    pub name: String,
    pub data: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SseError {
    #[error("a line of the event stream is longer than the limit")]
    TooLong,
    #[error("the event stream is not UTF-8")]
    NotUtf8,
}

/// The longest event taken, in bytes.
pub const MAX_EVENT_BYTES: usize = 16 * 1024 * 1024;

#[derive(Default)]
pub struct SseDecoder {
    buffer: Vec<u8>,
    /// How much of `buffer` has been read.
    read: usize,
    /// How much of `buffer` from `read` on has no line end in it.
    scanned: usize,
    event: SseEvent,
    has_data: bool,
    started: bool,
    /// The last line ended with `\r`: a `\n` that comes next belongs to it.
    skip_newline: bool,
}

impl SseDecoder {
    pub fn push(&mut self, bytes: &[u8]) {
        if self.read > 0 {
            self.buffer.drain(..self.read);
            self.read = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole event, or none until more bytes come. An event that the end of the stream
    /// cuts short is none, as the format says.
    ///
    /// # Errors
    /// When a line is too long or not UTF-8; nothing more can be read then.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Result<Option<SseEvent>, SseError> {
        loop {
            if self.skip_newline && self.read < self.buffer.len() {
                if self.buffer[self.read] == b'\n' {
                    self.read += 1;
                }
                self.skip_newline = false;
            }
            let rest = &self.buffer[self.read..];
            let Some(at) = memchr2(b'\n', b'\r', &rest[self.scanned..]).map(|at| at + self.scanned) else {
                self.scanned = rest.len();
                if rest.len() + self.event.data.len() > MAX_EVENT_BYTES {
                    return Err(SseError::TooLong);
                }
                return Ok(None);
            };
            let mut line = &rest[..at];
            self.skip_newline = rest[at] == b'\r';
            self.scanned = 0;
            if !self.started {
                self.started = true;
                line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
            }
            let line = std::str::from_utf8(line).map_err(|_| SseError::NotUtf8)?;
            if line.is_empty() {
                self.read += at + 1;
                let event = std::mem::take(&mut self.event);
                if std::mem::take(&mut self.has_data) {
                    return Ok(Some(event));
                }
                continue;
            }
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "data" => {
                    if self.has_data {
                        self.event.data.push('\n');
                    }
                    self.has_data = true;
                    if self.event.data.len() + value.len() > MAX_EVENT_BYTES {
                        return Err(SseError::TooLong);
                    }
                    self.event.data.push_str(value);
                }
                "event" => value.clone_into(&mut self.event.name),
                _ => {}
            }
            self.read += at + 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode(pieces: &[&[u8]]) -> Vec<SseEvent> {
        let mut decoder = SseDecoder::default();
        let mut events = Vec::new();
        for piece in pieces {
            decoder.push(piece);
            while let Some(event) = decoder.next().unwrap() {
                events.push(event);
            }
        }
        events
    }

    const STREAM: &str = "\u{feff}event: a\r\ndata: {\"x\":\"é\"}\r\n\r\n: comment\n\ndata: one\ndata:two\n\n\
        id: 7\revent: b\rdata: naïve 日本\r\rdata\n\nevent: nothing\n\ndata: [DONE]\n\ndata: cut";

    #[test]
    fn the_events_are_the_same_when_the_stream_is_cut_at_every_byte() {
        let bytes = STREAM.as_bytes();
        let whole = decode(&[bytes]);
        let data: Vec<_> = whole.iter().map(|e| (e.name.as_str(), e.data.as_str())).collect();
        let wanted = [("a", "{\"x\":\"é\"}"), ("", "one\ntwo"), ("b", "naïve 日本"), ("", ""), ("", "[DONE]")];
        assert_eq!(data, wanted);
        for at in 0..=bytes.len() {
            assert_eq!(decode(&[&bytes[..at], &bytes[at..]]), whole, "cut at {at}");
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(decode(&single), whole);
    }

    #[test]
    fn what_is_not_utf8_is_an_error() {
        let mut decoder = SseDecoder::default();
        decoder.push(b"data: \xff\n\n");
        assert_eq!(decoder.next(), Err(SseError::NotUtf8));
    }

    proptest! {
        #[test]
        fn any_text_cut_anywhere_gives_the_same_events(text in "([a-z:é \\r\\n]|data: |event: |\\n\\n){0,40}", cuts in proptest::collection::vec(0usize..200, 0..6)) {
            let bytes = text.as_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(bytes.len())).collect();
            cuts.sort_unstable();
            let mut pieces = Vec::new();
            let mut from = 0;
            for cut in cuts {
                pieces.push(&bytes[from..cut]);
                from = cut;
            }
            pieces.push(&bytes[from..]);
            prop_assert_eq!(decode(&pieces), decode(&[bytes]));
        }
    }
}
