//! What is seen of a request: words and pairs of words by their hash, the meanings of known words, and the shape of
//! the text. The first and the last sentence, where the wish stands, are seen apart from the rest.
//!
//! The trainer (`scripts/train_tasks.py`) asks this very code for the features, by `examples/task_features.rs`.

use super::TaskInput;
use super::lexicon::{Hit, LEXICON, MEANINGS};
use super::shape::{self, SHAPES};
use super::text::{Text, Zone};
use super::words::{Words, pair};

/// Rows of the table that hashes share.
const HASHED_BITS: u32 = 15;
pub(super) const HASHED: usize = 1 << HASHED_BITS;
/// Where a meaning is met, each with rows of its own.
const PLACES: usize = 5;
pub(super) const MEANING_ROWS: usize = MEANINGS * PLACES;
pub(super) const ROWS: usize = HASHED + MEANING_ROWS + SHAPES;

/// Kinds of features. What a feature of a kind counts is in `WEIGHTS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Group {
    Word,
    Pair,
    LeadWord,
    CloseWord,
    CloseBegin,
    Gram,
    MeaningPair,
    MeaningWord,
    MeaningLead,
    MeaningClose,
    MeaningFirst,
    MeaningContext,
    Shape,
    NearWord,
    NearRest,
    NearMeaning,
    NearMeaningWord,
    BodyWord,
    InstructionsWord,
    InstructionsOwn,
    InstructionsPair,
    InstructionsMeaning,
    InstructionsFirst,
    InstructionsMeaningWord,
}

pub(super) const GROUPS: usize = 24;

/// For each group, what one feature counts, and the number of features from which on it counts less, so that
/// their sum grows with the root of their number; 0: never. Tuned on the folds of the training set.
const WEIGHTS: [(f32, u16); GROUPS] = [
    (2.0, 8),
    (2.0, 8),
    (1.5, 8),
    (1.5, 8),
    (0.5, 0),
    (2.0, 16),
    (2.0, 8),
    (2.0, 4),
    (1.0, 0),
    (1.0, 0),
    (1.0, 0),
    (1.0, 0),
    (0.5, 0),
    (1.0, 16),
    (1.0, 16),
    (0.5, 0),
    (1.0, 8),
    (1.0, 32),
    (1.0, 8),
    (1.0, 8),
    (1.0, 8),
    (2.0, 0),
    (1.0, 0),
    (1.0, 4),
];

impl Group {
    /// What is said of the last user turn whatever else there is beside it.
    pub(super) fn is_of_the_prompt(self) -> bool {
        (self as usize) < Self::InstructionsWord as usize && self != Self::MeaningContext
    }

    /// What each feature counts, where there are `count` of the group.
    #[allow(clippy::cast_precision_loss)]
    pub(super) fn weight(group: usize, count: usize) -> f32 {
        let (weight, least) = WEIGHTS[group];
        if least == 0 { weight } else { weight / (count.max(usize::from(least)) as f32).sqrt() }
    }
}

/// Where a word stands whose vector counts, each with weights of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spot {
    Lead,
    Close,
    Near,
    Instructions,
    /// The first 3, 6 and 12 words of the first sentences, and the last 4.
    LeadBegin,
    LeadBegin6,
    LeadBegin12,
    LeadEnd,
    /// The first and the last 4 words of the last sentences.
    CloseBegin,
    CloseEnd,
}

pub(super) const SPOTS: usize = 10;
/// How many words stand at a beginning or an end.
const BEGINS: [(Spot, usize); 3] = [(Spot::LeadBegin, 3), (Spot::LeadBegin6, 6), (Spot::LeadBegin12, 12)];
const ENDS: usize = 4;

/// Takes the features, one by one.
pub(super) trait Sink {
    fn add(&mut self, group: Group, row: usize);
    /// A word, by its hash, which may have a vector.
    fn word(&mut self, spot: Spot, hash: u32);
}

/// What a hash is of, so that the same word in another role has another row.
#[derive(Clone, Copy)]
enum Of {
    Word = 1,
    Pair,
    Lead,
    Close,
    CloseBegin,
    Gram,
    Rest,
    Meanings,
    MeaningWord,
    Instructions,
    Context,
}

fn hashed(of: Of, hash: u32) -> usize {
    let mixed = (hash ^ (of as u32).wrapping_mul(0x85eb_ca6b)).wrapping_mul(0x9e37_79b1);
    let mixed = (mixed ^ (mixed >> 15)).wrapping_mul(0x2c1b_3c6d);
    (mixed >> (32 - HASHED_BITS)) as usize
}

#[derive(Clone, Copy)]
enum Place {
    Lead,
    Close,
    Rest,
    Instructions,
    First,
}

fn meaning_row(place: Place, meaning: u16) -> usize {
    HASHED + MEANINGS * place as usize + usize::from(meaning)
}

pub(super) fn see(input: &TaskInput<'_>, sink: &mut impl Sink) {
    let text = Text::of(input.last_user);
    let mut seen = Seen { context: context(input, &text), ..Seen::default() };
    for (zone, range) in &text.pieces {
        let piece = &text.folded[range.clone()];
        seen.words.read(piece, matches!(zone, Zone::Lead | Zone::Close));
        match zone {
            Zone::Lead | Zone::Close => seen.wish(piece, *zone, sink),
            Zone::Near => seen.near(piece, sink),
            Zone::Body => seen.body(sink),
        }
    }
    seen.spell_wish(sink);
    shape::see(input, &text, &mut |shape| sink.add(Group::Shape, HASHED + MEANING_ROWS + shape));
    if !input.instructions.is_empty() {
        let text = Text::of(input.instructions);
        let mut seen = Seen::default();
        for (_, range) in text.pieces.iter().filter(|piece| piece.0 != Zone::Body) {
            let piece = &text.folded[range.clone()];
            seen.words.read(piece, false);
            seen.instructions(piece, sink);
        }
    }
}

/// Whether something is given beside the wish, whether the wish is a question, and whether there are instructions:
/// `summarize` means another thing where there is nothing to summarize.
fn context(input: &TaskInput<'_>, text: &Text) -> u32 {
    let length = |of: &[Zone]| -> usize {
        text.pieces.iter().filter(|(zone, _)| of.contains(zone)).map(|(_, range)| range.len()).sum()
    };
    let given = length(&[Zone::Near, Zone::Body]) > 60 || text.folded.matches('"').count() > 1;
    let asks = text.pieces.iter().any(|(zone, range)| {
        matches!(zone, Zone::Lead | Zone::Close) && text.folded[range.clone()].trim_end().ends_with('?')
    });
    u32::from(given) | u32::from(asks) << 1 | u32::from(!input.instructions.is_empty()) << 2
}

/// What was met so far.
#[derive(Default)]
struct Seen {
    words: Words,
    hits: Vec<Hit>,
    context: u32,
    closing: bool,
    /// The words of the first sentences, and of the last.
    lead: Vec<u32>,
    close: Vec<u32>,
    /// The meanings, in their order, without repetitions.
    meanings: Vec<u16>,
}

/// With how many meanings before it one makes a pair.
const PAIRED: usize = 6;

impl Seen {
    fn wish(&mut self, piece: &str, zone: Zone, sink: &mut impl Sink) {
        let lead = zone == Zone::Lead;
        (if lead { &mut self.lead } else { &mut self.close }).extend(&self.words.spelled);
        let (own, own_group) = if lead { (Of::Lead, Group::LeadWord) } else { (Of::Close, Group::CloseWord) };
        for (i, word) in self.words.found.iter().enumerate() {
            sink.add(Group::Word, hashed(Of::Word, *word));
            sink.add(own_group, hashed(own, *word));
            if let Some(next) = self.words.found.get(i + 1) {
                sink.add(Group::Pair, hashed(Of::Pair, pair(*word, *next)));
            }
        }
        for gram in &self.words.grams {
            sink.add(Group::Gram, hashed(Of::Gram, *gram));
        }
        if !lead && !std::mem::replace(&mut self.closing, true) {
            let mut hash = 0;
            for word in self.words.found.iter().take(2) {
                hash = pair(hash, *word);
                sink.add(Group::CloseBegin, hashed(Of::CloseBegin, hash));
            }
        }
        let (place, group) = if lead { (Place::Lead, Group::MeaningLead) } else { (Place::Close, Group::MeaningClose) };
        self.find(piece, |seen, meaning| {
            sink.add(group, meaning_row(place, meaning));
            if seen.meanings.is_empty() {
                sink.add(Group::MeaningFirst, meaning_row(Place::First, meaning));
            }
            sink.add(Group::MeaningContext, hashed(Of::Context, seen.context << 16 | u32::from(meaning)));
            for before in seen.meanings.iter().rev().take(PAIRED) {
                let both = u32::from(*before) << 16 | u32::from(meaning);
                sink.add(Group::MeaningPair, hashed(Of::Meanings, both));
            }
        });
        self.each_word(|word| sink.add(Group::MeaningWord, word));
    }

    fn spell(&self, spot: Spot, sink: &mut impl Sink) {
        self.words.spelled.iter().for_each(|hash| sink.word(spot, *hash));
    }

    fn spell_wish(&self, sink: &mut impl Sink) {
        let (lead, close) = (self.lead.as_slice(), self.close.as_slice());
        let begin = |words: &[u32], count: usize| words.len().min(count);
        let end = |words: &[u32]| words.len().saturating_sub(ENDS);
        let mut spell = |spot: Spot, words: &[u32]| words.iter().for_each(|hash| sink.word(spot, *hash));
        spell(Spot::Lead, lead);
        spell(Spot::Close, close);
        for (spot, count) in BEGINS {
            spell(spot, &lead[..begin(lead, count)]);
        }
        spell(Spot::LeadEnd, &lead[end(lead)..]);
        spell(Spot::CloseBegin, &close[..begin(close, ENDS)]);
        spell(Spot::CloseEnd, &close[end(close)..]);
    }

    fn near(&mut self, piece: &str, sink: &mut impl Sink) {
        self.spell(Spot::Near, sink);
        for word in &self.words.found {
            sink.add(Group::NearWord, hashed(Of::Word, *word));
            sink.add(Group::NearRest, hashed(Of::Rest, *word));
        }
        self.find(piece, |_, meaning| sink.add(Group::NearMeaning, meaning_row(Place::Rest, meaning)));
        self.each_word(|word| sink.add(Group::NearMeaningWord, word));
    }

    fn body(&mut self, sink: &mut impl Sink) {
        for word in &self.words.found {
            sink.add(Group::BodyWord, hashed(Of::Rest, *word));
        }
    }

    fn instructions(&mut self, piece: &str, sink: &mut impl Sink) {
        self.spell(Spot::Instructions, sink);
        for (i, word) in self.words.found.iter().enumerate() {
            sink.add(Group::InstructionsWord, hashed(Of::Word, *word));
            sink.add(Group::InstructionsOwn, hashed(Of::Instructions, *word));
            if let Some(next) = self.words.found.get(i + 1) {
                sink.add(Group::InstructionsPair, hashed(Of::Pair, pair(*word, *next)));
            }
        }
        self.find(piece, |seen, meaning| {
            sink.add(Group::InstructionsMeaning, meaning_row(Place::Instructions, meaning));
            if seen.meanings.is_empty() {
                sink.add(Group::InstructionsFirst, meaning_row(Place::First, meaning));
            }
        });
        self.each_word(|word| sink.add(Group::InstructionsMeaningWord, word));
    }

    /// Calls `tell` for each meaning that the piece has, once.
    fn find(&mut self, piece: &str, mut tell: impl FnMut(&Self, u16)) {
        let mut hits = std::mem::take(&mut self.hits);
        LEXICON.find(piece, &mut hits);
        let mut told = [false; MEANINGS];
        for hit in &hits {
            let meanings = LEXICON.meanings(hit);
            for meaning in meanings {
                if !std::mem::replace(&mut told[usize::from(*meaning)], true) {
                    tell(self, *meaning);
                }
            }
            if let Some(first) = meanings.first()
                && self.meanings.last() != Some(first)
            {
                self.meanings.push(*first);
            }
        }
        self.hits = hits;
    }

    /// The rows of the known words that `find` found.
    fn each_word(&self, mut tell: impl FnMut(usize)) {
        for hit in &self.hits {
            tell(hashed(Of::MeaningWord, hit.word));
        }
    }
}
