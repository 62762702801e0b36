//! What the target `pattern_time` asserts, over patterns by chance, for a stable compiler:
//! `cargo run --release --manifest-path fuzz/Cargo.toml --example pattern_time -- 20000 [SEED]`
//!
//! Prints how many were accepted and the longest; ends with 1 where one took more than 50 ms.

use std::process::ExitCode;
use std::time::Duration;
use tokenrouter_fuzz::{LONGEST, pattern_time};

const ATOMS: [&str; 24] = [
    "a", "b", "x", ".", r"\w", r"\s", r"\d", "[a-c]", "[^a]", r"\b", "^", "$", "é", "(?i)a", "(?=a)", "(?!b)",
    "(?<=a)", "(?<!b)", r"\1", "(?s:.)", r"\p{L}", "ab", r"\h", "(?>a+)",
];
const REPEATS: [&str; 10] = ["", "", "*", "+", "?", "*?", "{2,5}", "{1,200}", "*+", "{0,500}"];
const TEXTS: [&str; 8] =
    ["a", "ab", "aab ", "a b c x1 ", "aaaaaaaaab", "é", "the quick brown fox 42 ", "abcabc\u{301} "];

/// Xorshift: the same on every machine.
struct Chance(u64);

impl Chance {
    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(most).unwrap_or(1)).unwrap_or(0)
    }

    fn of<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[self.below(list.len())]
    }

    fn pattern(&mut self, depth: usize) -> String {
        let mut pattern = String::new();
        for _ in 0..=self.below(4) {
            if depth > 0 && self.below(3) == 0 {
                let inner = self.pattern(depth - 1);
                let open = self.of(&["(", "(?:", "(?>", "(?=", "(?|"]);
                pattern.push_str(&format!("{open}{inner})"));
            } else {
                pattern.push_str(self.of(&ATOMS));
            }
            pattern.push_str(self.of(&REPEATS));
            if self.below(6) == 0 {
                pattern.push('|');
            }
        }
        pattern
    }
}

fn main() -> ExitCode {
    let mut numbers = std::env::args().skip(1).map(|word| word.parse::<u64>());
    let (Ok(cases), Ok(seed)) = (numbers.next().unwrap_or(Ok(20_000)), numbers.next().unwrap_or(Ok(1))) else {
        eprintln!("usage: pattern_time [CASES] [SEED]");
        return ExitCode::from(2);
    };
    let mut chance = Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let (mut accepted, mut over) = (0_u64, 0_u64);
    let mut worst = (Duration::ZERO, String::new());
    for _ in 0..cases {
        let case = format!("{}\n{}", chance.pattern(3), chance.of(&TEXTS));
        let Some(took) = pattern_time(case.as_bytes()) else { continue };
        accepted += 1;
        if took > LONGEST {
            over += 1;
            println!("{took:?}: {case:?}");
        }
        if took > worst.0 {
            worst = (took, case);
        }
    }
    println!("{accepted} of {cases} patterns were accepted, {over} took more than {LONGEST:?}");
    println!("the longest took {:?} of processor time: {:?}", worst.0, worst.1);
    ExitCode::from(u8::from(over > 0))
}
