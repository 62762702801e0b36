//! The fuzz targets' bodies on the golden files, changed by chance that is always the same: what a stable
//! compiler can do of fuzzing in a few seconds.

// clippy.toml's `allow-unwrap-in-tests` reaches test functions, not the helpers beside them.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use tokenrouter_routing::{LearnedModel, MOST_GROUPS, Predictor, PredictorWeights, SKILLS, feature_rows, near_rows};

/// Changes of each file.
const CHANGES: usize = 40;

/// Xorshift: the same on every machine.
struct Chance(u64);

impl Chance {
    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(most.max(1)).unwrap()).unwrap()
    }
}

/// The golden files whose names end so.
fn corpus(end: &str) -> Vec<Vec<u8>> {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/providers/tests/golden");
    let mut found = Vec::new();
    for folder in std::fs::read_dir(golden).unwrap() {
        for file in std::fs::read_dir(folder.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            if path.to_str().unwrap().ends_with(end) {
                found.push(path);
            }
        }
    }
    found.sort();
    assert!(found.len() >= 6, "there are golden files that end in {end}");
    found.into_iter().map(|path| std::fs::read(path).unwrap()).collect()
}

fn changed(bytes: &[u8], chance: &mut Chance) -> Vec<u8> {
    const PIECES: [&[u8]; 10] =
        [b"null", b"{}", b"[]", b"\"\"", b"-1", b"1e999", b"\\ud800", b"\r\n\r\n", b"data: ", b"\xff"];
    let mut bytes = bytes.to_vec();
    for _ in 0..=chance.below(3) {
        let at = chance.below(bytes.len());
        let to = (at + chance.below(24)).min(bytes.len());
        match chance.below(4) {
            0 => drop(bytes.splice(at..to, PIECES[chance.below(PIECES.len())].iter().copied())),
            1 => drop(bytes.drain(at..to)),
            2 => {
                let again = bytes[at..to].to_vec();
                drop(bytes.splice(at..at, again));
            }
            _ if at < bytes.len() => bytes[at] = u8::try_from(chance.below(256)).unwrap(),
            _ => {}
        }
    }
    bytes
}

fn drive(target: fn(&[u8]), files: &[Vec<u8>]) {
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
    for file in files {
        target(file);
        for _ in 0..CHANGES {
            target(&changed(file, &mut chance));
        }
    }
}

#[test]
fn requests_are_read_and_written_or_refused() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/providers/tests/golden/requests");
    let files: Vec<Vec<u8>> =
        std::fs::read_dir(golden).unwrap().map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect();
    drive(tokenrouter_fuzz::request, &files);
}

#[test]
fn so_are_chats_and_messages() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds");
    let files: Vec<Vec<u8>> =
        std::fs::read_dir(seeds).unwrap().map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect();
    assert!(files.len() >= 3, "there are seeds");
    drive(tokenrouter_fuzz::surface, &files);
}

#[test]
fn a_key_is_what_was_sent_as_one() {
    let files = [
        "Bearer tr_0123456789abcdef\n",
        "bearer  tr_0123 \ntr_4567",
        "Basic dXNlcjprZXk=\n tr_0123",
        "tr_0123\n",
        "\n\t",
    ];
    drive(tokenrouter_fuzz::authorization, &files.map(|text| text.as_bytes().to_vec()));
}

#[test]
fn answers_are_events_or_errors() {
    drive(tokenrouter_fuzz::answer, &corpus(".answer.json"));
}

#[test]
fn streams_are_the_same_however_they_are_cut() {
    drive(tokenrouter_fuzz::stream, &corpus(".answer.sse"));
}

#[test]
fn patterns_screen_streams_as_they_screen_texts() {
    let files: Vec<Vec<u8>> = [
        "a+b\naab ab b",
        r"(?i)\bsecret\s*key\b",
        "(?<=x)y*\nxyyy xy",
        r"(\w)\1",
        "/[0-9]{2,4}/i\n12345 1",
        "é|日\nn日é",
        "日本語\nDas ist 日本語.",
    ]
    .iter()
    .map(|text| text.as_bytes().to_vec())
    .collect();
    drive(tokenrouter_fuzz::pattern, &files);
}

#[test]
fn masked_json_is_json() {
    drive(tokenrouter_fuzz::json_guard, &corpus(".answer.json"));
}

#[test]
fn a_text_is_held_against_any_schema() {
    let files = [
        "{\"$ref\":\"#/$defs/a\",\"$defs\":{\"a\":{\"anyOf\":[{\"$ref\":\"#\"},{\"items\":{\"$ref\":\"#\"}}]}}}\n[[1]]",
        "{\"type\":\"object\",\"properties\":{\"a\":{\"pattern\":\"^(a|b)+$\",\"minLength\":2}},\"required\":[\"a\"]}\n{\"a\":\"ab\"}",
        "{\"anyOf\":[{\"$ref\":\"#x\"},{\"properties\":{\"b\":true}}],\"unevaluatedProperties\":false,\"$defs\":{\"x\":{\"$anchor\":\"x\"}}}\n{\"b\":1}",
        "{\"items\":{\"enum\":[1,\"a\",null]},\"uniqueItems\":true,\"contains\":{\"const\":1}}\n[1,\"a\",null]",
    ];
    drive(tokenrouter_fuzz::schema, &files.map(|text| text.as_bytes().to_vec()));
}

#[test]
fn any_text_has_a_task() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/tasks/test.jsonl");
    let prompts = std::fs::read_to_string(path).unwrap();
    let files: Vec<Vec<u8>> = prompts.lines().map(|line| line.as_bytes().to_vec()).collect();
    drive(tokenrouter_fuzz::task, &files);
}

#[test]
fn predictors_are_read_or_refused() {
    let weights = PredictorWeights {
        prompts: 9,
        models: vec![LearnedModel { model: "m".to_owned(), ability: 0.5, abilities: [].into(), skills: [0.3; SKILLS] }],
        like: vec![1.0; feature_rows()],
        like_all: 0.5,
        ease: vec![-0.5; feature_rows()],
        skills: vec![[0.2; SKILLS]; feature_rows()],
        near_rows: vec![[1.0; 1 + MOST_GROUPS]; near_rows()],
        near: [0.2, 0.4],
    };
    let whole = Predictor::of(weights).write().unwrap();
    let (header, table) =
        whole[8..].split_at(usize::try_from(u32::from_le_bytes(whole[4..8].try_into().unwrap())).unwrap());
    drive(tokenrouter_fuzz::predictor, &[whole.clone(), header.to_vec()]);
    // The header alone changed, so that the rest is of the right length.
    let mut chance = Chance(7);
    for _ in 0..400 {
        let header = changed(header, &mut chance);
        let length = u32::try_from(header.len()).unwrap().to_le_bytes();
        tokenrouter_fuzz::predictor(&[b"TRP2".as_slice(), &length, &header, table].concat());
    }
}
