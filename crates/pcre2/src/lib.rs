//! PCRE2, with bounds on every match.
//!
//! A crate of its own because PCRE2 is a C library: calling it is the one unsafe thing in this repository.
//! What is unsafe stays in here; the outside sees safe types. Patterns and subjects are UTF-8 (`PCRE2_UTF`),
//! `\d`, `\w` and `\s` are ASCII (no `PCRE2_UCP`), lines end with `\n`. The JIT is never used: under it
//! PCRE2's own limits do not bound time.
//!
//! **No call runs longer than its limits allow**: the interpreter counts its steps from each place at which
//! a match may begin, a call looks at so many of these only, and the clock is looked at between steps. Steps
//! alone bound no time: a greedy repetition of one character is one step, however far it runs.

use pcre2_sys as sys;
use std::ffi::{c_int, c_void};
use std::ptr::{self, NonNull};
use std::time::Duration;

/// The release that is compiled in: what patterns mean is what it says.
pub const VERSION: &str = "10.46";

/// The letters that may stand behind a delimited pattern, and what they switch on.
const FLAGS: [(char, u32); 8] = [
    ('i', sys::PCRE2_CASELESS),
    ('m', sys::PCRE2_MULTILINE),
    ('s', sys::PCRE2_DOTALL),
    ('x', sys::PCRE2_EXTENDED),
    ('U', sys::PCRE2_UNGREEDY),
    ('D', sys::PCRE2_DOLLAR_ENDONLY),
    ('A', sys::PCRE2_ANCHORED),
    ('J', sys::PCRE2_DUPNAMES),
];
/// Groups may nest so deep.
const MAX_NESTING: u32 = 100;
/// Bytes of compiled pattern, with the names of its groups. PCRE2 itself, whose links are of two bytes, compiles to
/// 64 KiB of code at most, more than half of which may be looks at the clock.
const MAX_COMPILED_BYTES: usize = 1 << 20;
/// Characters that a look-behind of no fixed length may look at.
const MAX_LOOK_BEHIND: u32 = 255;
/// Kibibytes that one match may take for its backtracking.
const HEAP_LIMIT_KIB: u32 = 4 * 1024;

/// Characters that may be run over between two looks at the clock, about a millisecond.
const CHARS_A_LOOK: usize = 1 << 20;
/// Steps between two looks at the clock, at most: a look is a system call.
const STEPS_A_LOOK: usize = 256;

type Callout = unsafe extern "C" fn(*mut c_void, *mut c_void) -> c_int;

// What `pcre2-sys` has no binding of.
unsafe extern "C" {
    /// The callout is called with a block that tells where matching is, which is not looked at here, and with `data`.
    fn pcre2_set_callout_8(
        context: *mut sys::pcre2_match_context_8,
        callout: Option<Callout>,
        data: *mut c_void,
    ) -> c_int;
}

/// When a call must end.
struct Clock {
    until: Duration,
    every: usize,
    left: usize,
}

/// PCRE2 calls it before each item of the pattern (`PCRE2_AUTO_CALLOUT`): between two calls one character or one
/// repetition of it is matched.
///
/// # Safety
/// `data` is a [`Clock`] that nothing else uses meanwhile.
unsafe extern "C" fn look_at_the_clock(_block: *mut c_void, data: *mut c_void) -> c_int {
    // SAFETY: as the caller says.
    let clock = unsafe { &mut *data.cast::<Clock>() };
    clock.left -= 1;
    if clock.left > 0 {
        return 0;
    }
    clock.left = clock.every;
    if thread_time() > clock.until { sys::PCRE2_ERROR_CALLOUT } else { 0 }
}

/// A pattern that does not compile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompileError {
    pub message: String,
    /// In bytes, from the beginning of the pattern.
    pub offset: usize,
}

impl std::fmt::Display for CompileError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for CompileError {}

/// A compiled pattern.
pub struct Pattern {
    code: NonNull<sys::pcre2_code_8>,
    look_behind: usize,
}

// SAFETY: a compiled pattern is not written to after it was made (the JIT, which would, is not used), as
// pcre2api says under MULTITHREADING; each match has its own match data and context.
unsafe impl Send for Pattern {}
// SAFETY: as above.
unsafe impl Sync for Pattern {}

impl Drop for Pattern {
    fn drop(&mut self) {
        // SAFETY: `code` came from `pcre2_compile_8` and is freed once.
        unsafe { sys::pcre2_code_free_8(self.code.as_ptr()) }
    }
}

/// Settings under which a pattern is compiled; freed when it goes out of scope.
struct CompileContext(NonNull<sys::pcre2_compile_context_8>);

impl Drop for CompileContext {
    fn drop(&mut self) {
        // SAFETY: it came from `pcre2_compile_context_create_8` and is freed once.
        unsafe { sys::pcre2_compile_context_free_8(self.0.as_ptr()) }
    }
}

impl Pattern {
    /// Compiles a pattern with flags such as `is`.
    ///
    /// # Errors
    /// When the pattern is not one of PCRE2's, a flag is not known, or the pattern is too large.
    pub fn new(pattern: &str, flags: &str) -> Result<Self, CompileError> {
        let mut options =
            sys::PCRE2_UTF | sys::PCRE2_NEVER_BACKSLASH_C | sys::PCRE2_USE_OFFSET_LIMIT | sys::PCRE2_AUTO_CALLOUT;
        for flag in flags.chars().filter(|flag| *flag != 'u') {
            match FLAGS.iter().find(|(letter, _)| *letter == flag) {
                Some((_, option)) => options |= option,
                None => {
                    let message = format!("there is no flag `{flag}`");
                    return Err(CompileError { message, offset: pattern.len() });
                }
            }
        }
        let out_of_memory = || CompileError { message: "there is not enough memory".to_owned(), offset: 0 };
        // SAFETY: no arguments but a null general context, which stands for malloc and free.
        let context = unsafe { sys::pcre2_compile_context_create_8(ptr::null_mut()) };
        let context = CompileContext(NonNull::new(context).ok_or_else(out_of_memory)?);
        // SAFETY: the context is valid; the settings are ones that PCRE2 knows.
        unsafe {
            sys::pcre2_set_newline_8(context.0.as_ptr(), sys::PCRE2_NEWLINE_LF);
            sys::pcre2_set_bsr_8(context.0.as_ptr(), sys::PCRE2_BSR_UNICODE);
            sys::pcre2_set_parens_nest_limit_8(context.0.as_ptr(), MAX_NESTING);
            sys::pcre2_set_max_pattern_compiled_length_8(context.0.as_ptr(), MAX_COMPILED_BYTES);
            sys::pcre2_set_max_varlookbehind_8(context.0.as_ptr(), MAX_LOOK_BEHIND);
        }
        let (mut error, mut offset): (c_int, usize) = (0, 0);
        // SAFETY: pointer and length are those of a `str`; the out-parameters outlive the call.
        let code = unsafe {
            sys::pcre2_compile_8(
                pattern.as_ptr(),
                pattern.len(),
                options,
                &raw mut error,
                &raw mut offset,
                context.0.as_ptr(),
            )
        };
        let Some(code) = NonNull::new(code) else {
            return Err(CompileError { message: error_message(error), offset: offset.min(pattern.len()) });
        };
        let mut look_behind: u32 = 0;
        // SAFETY: this item is written as a `u32`.
        unsafe {
            sys::pcre2_pattern_info_8(
                code.as_ptr(),
                sys::PCRE2_INFO_MAXLOOKBEHIND,
                ptr::from_mut(&mut look_behind).cast(),
            );
        }
        // A word boundary and the beginning of a line look at one character even where nothing says so.
        Ok(Self { code, look_behind: usize::try_from(look_behind).unwrap_or(usize::MAX).max(1) })
    }

    /// How many characters before a match's beginning can have a say in it.
    #[must_use]
    pub fn look_behind_chars(&self) -> usize {
        self.look_behind
    }
}

fn error_message(code: c_int) -> String {
    let mut buffer = [0_u8; 256];
    // SAFETY: the buffer is as long as is said; PCRE2 ends what it writes with a zero.
    let length = unsafe { sys::pcre2_get_error_message_8(code, buffer.as_mut_ptr(), buffer.len()) };
    let text = usize::try_from(length).ok().and_then(|length| buffer.get(..length)).unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}

/// Processor time that this thread has used: unlike the wall's clock it does not run while others do.
#[must_use]
pub fn thread_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the clock is one that POSIX has, the structure outlives the call.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// How far one call may go.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Steps of the interpreter from one place at which a match may begin.
    pub steps: u32,
    /// The last byte at which a match may begin in this call; `usize::MAX` for the end.
    pub last_start: usize,
    /// By [`thread_time`]; a call may come to a few milliseconds more.
    pub until: Duration,
}

/// What a call found. Offsets are in bytes of the subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// `began` is where matching began: before `start` if the pattern has `\K`.
    Match { began: usize, start: usize, end: usize },
    /// The subject's end was reached before it was clear whether a match begins at `began`.
    Partial { began: usize },
    /// No match begins within the limits.
    None,
    /// The steps or the time were used up.
    Exhausted,
}

/// Whether more text may come after the subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Final,
    /// What the end has a say in is [`Found::Partial`].
    Open,
}

/// The memory of a match, used over and over.
pub struct Matcher {
    data: NonNull<sys::pcre2_match_data_8>,
    context: NonNull<sys::pcre2_match_context_8>,
}

// SAFETY: both are plain memory that one match at a time writes to, which `&mut self` ensures.
unsafe impl Send for Matcher {}

impl Drop for Matcher {
    fn drop(&mut self) {
        // SAFETY: both came from their `create` and are freed once.
        unsafe {
            sys::pcre2_match_data_free_8(self.data.as_ptr());
            sys::pcre2_match_context_free_8(self.context.as_ptr());
        }
    }
}

impl Matcher {
    /// None when there is no memory.
    #[must_use]
    pub fn new() -> Option<Self> {
        // SAFETY: one pair of offsets is all that is read; null stands for malloc and free.
        let data = NonNull::new(unsafe { sys::pcre2_match_data_create_8(1, ptr::null_mut()) })?;
        // SAFETY: null stands for malloc and free.
        let Some(context) = NonNull::new(unsafe { sys::pcre2_match_context_create_8(ptr::null_mut()) }) else {
            // SAFETY: `data` was made above and is not used again.
            unsafe { sys::pcre2_match_data_free_8(data.as_ptr()) };
            return None;
        };
        // SAFETY: the context is valid.
        unsafe { sys::pcre2_set_heap_limit_8(context.as_ptr(), HEAP_LIMIT_KIB) };
        Some(Self { data, context })
    }

    /// The first match that begins at `from` or later. What lies before `from` is looked at by look-behind.
    ///
    /// `from` is moved to the beginning of the next character if it does not lie on one.
    pub fn find(&mut self, pattern: &Pattern, subject: &str, from: usize, end: End, limits: Limits) -> Found {
        let from = subject.ceil_char_boundary(from);
        let mut options = sys::PCRE2_NO_UTF_CHECK;
        if end == End::Open {
            options |= sys::PCRE2_PARTIAL_HARD;
        }
        // Of nothing, too, PCRE2 reckons with the addresses before its end, of which the dangling one that an empty
        // `str` may have has none.
        static NOTHING: [u8; 64] = [0; 64];
        let bytes = if subject.is_empty() { &NOTHING[32..32] } else { subject.as_bytes() };
        let every = (CHARS_A_LOOK / subject.len().max(1)).clamp(1, STEPS_A_LOOK);
        let mut clock = Clock { until: limits.until, every, left: every };
        // SAFETY: the context is valid, and so are the limits, whatever they are. The clock outlives the match
        // below, the only one before the callout is set anew.
        unsafe {
            sys::pcre2_set_match_limit_8(self.context.as_ptr(), limits.steps);
            sys::pcre2_set_offset_limit_8(self.context.as_ptr(), limits.last_start);
            pcre2_set_callout_8(self.context.as_ptr(), Some(look_at_the_clock), (&raw mut clock).cast());
        }
        // SAFETY: pointer and length are those of a `str` or of nothing, which is valid UTF-8 and so need not be checked
        // again, and do not lie at the beginning of memory; `from` lies within it on the beginning of a character; pattern, data and context are valid.
        let code = unsafe {
            sys::pcre2_match_8(
                pattern.code.as_ptr(),
                bytes.as_ptr(),
                bytes.len(),
                from,
                options,
                self.data.as_ptr(),
                self.context.as_ptr(),
            )
        };
        match code {
            sys::PCRE2_ERROR_NOMATCH => return Found::None,
            sys::PCRE2_ERROR_PARTIAL => {}
            code if code >= 0 => {}
            // The limits of steps, time, depth and heap; and whatever else may go wrong, such as no memory: what
            // could not be looked at must not count as clean.
            _ => return Found::Exhausted,
        }
        // SAFETY: after a match or a partial match the data hold one pair of offsets.
        let (start, end, began) = unsafe {
            let offsets = sys::pcre2_get_ovector_pointer_8(self.data.as_ptr());
            (*offsets, *offsets.add(1), sys::pcre2_get_startchar_8(self.data.as_ptr()))
        };
        if code == sys::PCRE2_ERROR_PARTIAL {
            Found::Partial { began: start }
        } else {
            Found::Match { began, start, end }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(pattern: &str, subject: &str, end: End) -> Found {
        let limits = Limits { steps: 10_000, last_start: usize::MAX, until: Duration::MAX };
        Matcher::new().unwrap().find(&Pattern::new(pattern, "i").unwrap(), subject, 0, end, limits)
    }

    #[test]
    fn a_match_is_found_where_pcre_finds_it() {
        assert_eq!(find("(?<=b)c+", "abCc", End::Final), Found::Match { began: 2, start: 2, end: 4 });
        assert_eq!(find(r"(a)\1", "aA", End::Final), Found::Match { began: 0, start: 0, end: 2 });
        assert_eq!(find(r"a\Kb", "xab", End::Final), Found::Match { began: 1, start: 2, end: 3 });
        assert_eq!(find("é", "É", End::Final), Found::Match { began: 0, start: 0, end: 2 });
        assert_eq!(find("x", "abc", End::Final), Found::None);
        assert_eq!(find("a$", "a\n", End::Final), Found::Match { began: 0, start: 0, end: 1 });
    }

    #[test]
    fn an_open_end_is_told_where_it_has_a_say() {
        assert_eq!(find("a(?!b)", "xa", End::Open), Found::Partial { began: 1 });
        assert_eq!(find("a(?!b)", "xac", End::Open), Found::Match { began: 1, start: 1, end: 2 });
        assert_eq!(find(r"foo\b", "foo", End::Open), Found::Partial { began: 0 });
        assert_eq!(find("a+", "aa", End::Open), Found::Partial { began: 0 });
        assert_eq!(find("a+b", "aac", End::Open), Found::None);
    }

    #[test]
    fn a_hostile_pattern_ends_within_its_steps() {
        assert_eq!(find(r"(a+)+$", &("a".repeat(40) + "!"), End::Final), Found::Exhausted);
        assert_eq!(find(r"(?=.*SECRET)(?=.*KEY)\w+x", &("a".repeat(20_000) + " x"), End::Final), Found::Exhausted);
    }

    #[test]
    fn nothing_is_a_subject_too() {
        for pattern in ["é?x(?=y)", "(?:é?)*+", "(?:é?)++", "(?:(?:é{0,2})*+)++"] {
            for end in [End::Open, End::Final] {
                assert!(find(pattern, "", end) != Found::Exhausted, "{pattern}");
            }
        }
    }

    #[test]
    fn time_that_is_over_ends_a_call_whatever_steps_are_left() {
        let limits = Limits { steps: u32::MAX, last_start: usize::MAX, until: Duration::ZERO };
        // Each step runs over all of the text, and there is no end of them.
        let (pattern, subject) = (Pattern::new(r"(?:(?=(.*))x?)*y", "").unwrap(), "a".repeat(1 << 20) + "y");
        assert_eq!(Matcher::new().unwrap().find(&pattern, &subject, 0, End::Final, limits), Found::Exhausted);
    }

    #[test]
    fn what_does_not_compile_is_told_with_its_place() {
        let error = Pattern::new("ab[z-a]", "").err().unwrap();
        assert_eq!(error.message, "range out of order in character class");
        assert_eq!(error.offset, 5);
        assert!(Pattern::new("a", "q").is_err());
        assert!(Pattern::new(r"\C", "").is_err());
        assert!(Pattern::new("(((a{1000}){1000}){1000})", "").is_err());
    }

    #[test]
    fn the_release_is_the_one_that_is_named() {
        let mut buffer = [0_u8; 64];
        // SAFETY: the version fits: pcre2api asks for 24 bytes.
        unsafe { sys::pcre2_config_8(sys::PCRE2_CONFIG_VERSION, buffer.as_mut_ptr().cast()) };
        let text = String::from_utf8_lossy(&buffer);
        assert!(text.starts_with(&format!("{VERSION} ")), "{text}");
    }
}
