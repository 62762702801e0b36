//! Ready-made patterns, with the checks that a pattern alone cannot make: check digits, lengths, ranges.
//!
//! Sources: card numbers ISO/IEC 7812 (Luhn), IBAN ISO 13616 (mod 97, lengths by country from the registry of
//! SWIFT), social security numbers SSA POMS RM 10201.020 (numbers never given out), addresses RFC 791 and
//! RFC 4291, tokens as their services document their prefixes.

/// What of a candidate is really one: so many bytes of its beginning. None: it is none.
pub(crate) type Check = fn(&str) -> Option<usize>;

pub(crate) struct Detector {
    pub name: &'static str,
    /// In the syntax of the `regex` crates; case counts.
    pub pattern: &'static str,
    pub check: Option<Check>,
}

pub(crate) const DETECTORS: [Detector; 9] = [
    Detector { name: "credit_card", pattern: r"(?-u:\b)[0-9](?:[ -]?[0-9]){12,22}", check: Some(card) },
    Detector { name: "iban", pattern: r"(?-u:\b)[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]){11,32}", check: Some(iban) },
    Detector { name: "us_ssn", pattern: r"(?-u:\b)[0-9]{3}-[0-9]{2}-[0-9]{4}(?-u:\b)", check: Some(social_security) },
    Detector {
        name: "email",
        pattern: r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){0,8}\.[A-Za-z]{2,24}(?-u:\b)",
        check: None,
    },
    Detector {
        name: "phone",
        pattern: r"\+[0-9]{1,3}(?:[ .-]?\(?[0-9]{1,4}\)?){2,6}|\([0-9]{3}\) ?[0-9]{3}[ .-][0-9]{4}(?-u:\b)|(?-u:\b)[0-9]{3}[.-][0-9]{3}[.-][0-9]{4}(?-u:\b)",
        check: Some(phone),
    },
    Detector {
        name: "ip_address",
        pattern: r"(?-u:\b)[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?-u:\b)|(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}",
        check: Some(address),
    },
    Detector {
        name: "api_key",
        pattern: concat!(
            r"(?-u:\b)(?:",
            r"sk-(?:proj-|svcacct-|admin-|ant-[a-z0-9]+-|or-v1-)?[A-Za-z0-9_-]{20,}",
            r"|(?:AKIA|ASIA)[0-9A-Z]{16}",
            r"|gh[pousr]_[A-Za-z0-9]{36,}",
            r"|github_pat_[A-Za-z0-9_]{60,}",
            r"|glpat-[A-Za-z0-9_-]{20,}",
            r"|xox[abeoprs]-[A-Za-z0-9-]{10,}",
            r"|AIza[0-9A-Za-z_-]{35}",
            r"|(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{16,}",
            r"|hf_[A-Za-z0-9]{30,}",
            r"|npm_[A-Za-z0-9]{36}",
            r"|pypi-[A-Za-z0-9_-]{50,}",
            r"|SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}",
            r"|tr_[A-Za-z0-9_]{32,}",
            r")",
        ),
        check: None,
    },
    Detector {
        name: "private_key",
        pattern: r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----(?:\s+[A-Za-z][A-Za-z0-9-]*: [^\n]*\n)*[A-Za-z0-9+/=\s]*(?:-----END (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----)?",
        check: Some(key),
    },
    Detector { name: "jwt", pattern: r"(?-u:\b)eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*", check: None },
];

/// The names, for messages.
pub(crate) fn names() -> String {
    DETECTORS.iter().map(|detector| detector.name).collect::<Vec<_>>().join(", ")
}

pub(crate) fn find(name: &str) -> Option<&'static Detector> {
    DETECTORS.iter().find(|detector| detector.name == name)
}

/// A key that is cut short ends with its last letter, not with the blanks behind it.
fn key(text: &str) -> Option<usize> {
    Some(text.trim_end().len())
}

/// Beginnings of the text with `least` to `most` characters that `counts` counts, longest first, each ending
/// with such a character and not before another one.
fn beginnings(text: &str, least: usize, most: usize, counts: fn(u8) -> bool) -> impl Iterator<Item = usize> {
    let bytes = text.as_bytes();
    let mut ends = Vec::new();
    let mut count = 0;
    for (at, byte) in bytes.iter().enumerate() {
        if counts(*byte) {
            count += 1;
            let last_of_its_run = bytes.get(at + 1).is_none_or(|next| !counts(*next));
            if (least..=most).contains(&count) && last_of_its_run {
                ends.push(at + 1);
            }
        }
    }
    ends.into_iter().rev()
}

/// 13 to 19 digits, the last of which is Luhn's check digit.
fn card(text: &str) -> Option<usize> {
    beginnings(text, 13, 19, |byte| byte.is_ascii_digit()).find(|end| {
        let digits = text.as_bytes()[..*end].iter().filter(|byte| byte.is_ascii_digit());
        let sum: u32 = digits
            .rev()
            .enumerate()
            .map(|(place, byte)| {
                let digit = u32::from(byte - b'0') * if place % 2 == 1 { 2 } else { 1 };
                digit / 10 + digit % 10
            })
            .sum();
        let all_alike = text.as_bytes()[..*end].iter().filter(|b| b.is_ascii_digit()).all(|b| *b == text.as_bytes()[0]);
        sum.is_multiple_of(10) && !all_alike
    })
}

/// Letters and digits of an IBAN, by country.
const IBAN_LENGTHS: &str = "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 \
    DO28 EE20 EG29 ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 \
    KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 \
    PS29 PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30";

fn iban(text: &str) -> Option<usize> {
    let country = text.get(..2)?;
    let length: usize = IBAN_LENGTHS.split_whitespace().find_map(|entry| entry.strip_prefix(country))?.parse().ok()?;
    let end = beginnings(text, length, length, |byte| byte.is_ascii_alphanumeric()).next()?;
    let compact: Vec<u8> = text.as_bytes()[..end].iter().copied().filter(u8::is_ascii_alphanumeric).collect();
    let rearranged = compact.get(4..)?.iter().chain(compact.get(..4)?);
    let remainder = rearranged.fold(0_u32, |remainder, byte| {
        let value = if byte.is_ascii_digit() { u32::from(byte - b'0') } else { u32::from(byte - b'A') + 10 };
        (remainder * if value > 9 { 100 } else { 10 } + value) % 97
    });
    (remainder == 1).then_some(end)
}

fn social_security(text: &str) -> Option<usize> {
    let (area, group, serial) = (text.get(..3)?, text.get(4..6)?, text.get(7..)?);
    let given = !matches!(area, "000" | "666") && !area.starts_with('9') && group != "00" && serial != "0000";
    given.then_some(text.len())
}

/// 8 to 15 digits after a `+`; the forms without one are what they look like.
fn phone(text: &str) -> Option<usize> {
    if !text.starts_with('+') {
        return Some(text.len());
    }
    beginnings(text, 8, 15, |byte| byte.is_ascii_digit()).next()
}

fn address(text: &str) -> Option<usize> {
    if text.contains('.') {
        return text.parse::<std::net::Ipv4Addr>().is_ok().then_some(text.len());
    }
    // `std::fmt` and `12:30:45` are none.
    let telling =
        text.bytes().filter(|byte| *byte == b':').count() > 3 || text.bytes().any(|byte| byte.is_ascii_digit());
    (telling && text.parse::<std::net::Ipv6Addr>().is_ok()).then_some(text.len())
}
