//! Trap 19, for every dialect: however a golden stream is cut into pieces, the events are the same.

// clippy.toml's `allow-unwrap-in-tests` reaches test functions, not the helpers beside them.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use tokenrouter_providers::{Kind, ModelEvent, StreamDecoder, Translation};
use tokenrouter_upstream::sse::SseDecoder;

fn decode(kind: Kind, pieces: &[&[u8]]) -> Vec<ModelEvent> {
    let mut bytes = SseDecoder::default();
    let mut decoder = StreamDecoder::new(kind, Translation::new(kind, "p", "m"));
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

fn golden(dialect: &str, kind: Kind) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../providers/tests/golden").join(dialect);
    let mut streams = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|end| end != "sse") {
            continue;
        }
        streams += 1;
        let bytes = std::fs::read(&path).unwrap();
        let whole = decode(kind, &[&bytes]);
        for at in 0..=bytes.len() {
            assert_eq!(decode(kind, &[&bytes[..at], &bytes[at..]]), whole, "{} cut at {at}", path.display());
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(decode(kind, &single), whole, "{}", path.display());
    }
    assert!(streams >= 6, "{dialect} has its golden streams");
}

#[test]
fn trap_19_openais_events_are_the_same_when_its_streams_are_cut_at_every_byte() {
    golden("openai", Kind::OpenAi);
}

#[test]
fn trap_19_anthropics_events_are_the_same_when_its_streams_are_cut_at_every_byte() {
    golden("anthropic", Kind::Anthropic);
}

#[test]
fn trap_19_geminis_golden_events_are_the_same_when_its_streams_are_cut_at_every_byte() {
    golden("gemini", Kind::Gemini);
}

#[test]
fn trap_19_mistrals_events_are_the_same_when_its_streams_are_cut_at_every_byte() {
    golden("mistral", Kind::Mistral);
}

#[test]
fn trap_19_deepseeks_events_are_the_same_when_its_streams_are_cut_at_every_byte() {
    golden("deepseek", Kind::DeepSeek);
}

#[test]
fn trap_19_other_hosts_events_are_the_same_when_their_streams_are_cut_at_every_byte() {
    golden("compatible", Kind::OpenAiCompatible);
}
