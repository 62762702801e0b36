//! Trap 19, for Gemini: however its stream is cut into pieces, the events are the same.

// clippy.toml's `allow-unwrap-in-tests` reaches test functions, not the helpers beside them.
#![allow(clippy::unwrap_used)]

use tokenrouter_providers::{Kind, ModelEvent, StreamDecoder, Translation};
use tokenrouter_upstream::sse::SseDecoder;

const STREAM: &str = concat!(
    "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"Ünter\",\"thought\":true}],\"role\":\"model\"}}],",
    "\"usageMetadata\":{\"promptTokenCount\":7},\"modelVersion\":\"gemini-3.5-flash\"}\r\n\r\n",
    ": a comment\r\n",
    "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"日本 \\\"x\\\" \\u00e9\",\"thoughtSignature\":\"U2ln\"}]}}]}\r\n\r\n",
    "data: {\"candidates\":[{\"content\":{\"parts\":[{\"functionCall\":{\"id\":\"a\",\"name\":\"f\",\r\n",
    "data: \"args\":{\"city\":\"Zürich\"}}},{\"functionCall\":{\"id\":\"b\",\"name\":\"g\",\"args\":{}}}]}}]}\r\n\r\n",
    "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"\",\"thoughtSignature\":\"T3du\"}]},\"finishReason\":\"STOP\"}],",
    "\"usageMetadata\":{\"promptTokenCount\":7,\"candidatesTokenCount\":9,\"thoughtsTokenCount\":2}}\r\n\r\n",
);

fn decode(pieces: &[&[u8]]) -> Vec<ModelEvent> {
    let mut bytes = SseDecoder::default();
    let mut decoder = StreamDecoder::new(Kind::Gemini, Translation::new(Kind::Gemini, "gemini", "gemini-3.5-flash"));
    let mut events = Vec::new();
    for piece in pieces {
        bytes.push(piece);
        while let Some(event) = bytes.next().unwrap() {
            decoder.event(&event.name, &event.data, &mut events).unwrap();
        }
    }
    decoder.end(&mut events).unwrap();
    events
}

#[test]
fn trap_19_geminis_events_are_the_same_when_its_stream_is_cut_at_every_byte() {
    let bytes = STREAM.as_bytes();
    let whole = decode(&[bytes]);
    let done = whole.iter().filter(|event| matches!(event, ModelEvent::ItemDone { .. })).count();
    // Thoughts, text, two calls, and the signature that came last.
    assert_eq!(done, 5, "{whole:?}");
    for at in 0..=bytes.len() {
        assert_eq!(decode(&[&bytes[..at], &bytes[at..]]), whole, "cut at {at}");
    }
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(decode(&single), whole);
}
