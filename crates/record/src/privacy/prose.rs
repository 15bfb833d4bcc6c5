//! Free text: which values are, and what is kept of them.
//!
//! What people write and what models answer comes at any path and under any name, so it is known by two things: by its
//! key, where the key is one that chats, completions and rankers have (`messages`, `prompt`, `query`, `generated_text`), and
//! by what it is: several words, a sentence, or simply long. Between a text that stays and a category that is taken for
//! a text, the second is the better mistake: its hash stays in its place, and equal categories stay equal.
//!
//! One rule for everything: decoded bodies, records from outside, categories of profiles.

use super::is_hashed;

/// Words that make a text: more than this.
const WORDS_MAX: u32 = 4;
/// Characters that make a text of two words or more: more than this.
const CHARS_MAX: u32 = 40;
/// Characters that make a text of a single word: more than this. Ids, paths and tokens are shorter.
const WORD_CHARS_MAX: u32 = 128;
/// Characters of a script that is written without spaces, of which more make a text.
const UNSPACED_MAX: u32 = 12;
/// The same in a text that ends like a sentence, or under a key that often holds texts.
const UNSPACED_FEW: u32 = 4;
/// Bytes that no text by its value is shorter than.
const BYTES_MIN: usize = 9;
/// Words of a bare value without a name of its own that make a text.
const BARE_WORDS: u32 = 4;
/// Words of everyday speech and hardly of categories, which make a text of three words or more.
const SPEECH: [&str; 26] = [
    "my", "you", "your", "is", "are", "was", "what", "how", "why", "please", "i'm", "it's", "don't", "can't",
    "we", "this", "ich", "mein", "meine", "bitte", "je", "mon", "est", "por", "mi", "como",
];

/// How sure a name makes it that its values are texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    /// Whatever they are.
    Text,
    /// If they have two words or more.
    Often,
    /// A value that has no name of its own.
    Bare,
    /// Nothing.
    Plain,
}

/// Why a value is a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Prose {
    /// Its key says so. It may be short enough to be guessed: not even a plain hash of it is kept.
    ByKey,
    /// It reads like one.
    ByValue,
}

/// Whether the value of a field is free text.
pub(crate) fn judge(name: &str, text: &str) -> Option<Prose> {
    if text.is_empty() || is_hashed(text) {
        return None;
    }
    match key(name) {
        Key::Text if !is_number(text) => Some(Prose::ByKey),
        Key::Often if has_words(text) => Some(Prose::ByKey),
        Key::Bare if is_prose_from(text, BARE_WORDS) => Some(Prose::ByValue),
        _ if is_prose(text) => Some(Prose::ByValue),
        _ => None,
    }
}

/// Whether a text reads like one, whatever its name.
pub(crate) fn is_prose(text: &str) -> bool {
    is_prose_from(text, WORDS_MAX + 1)
}

fn is_prose_from(text: &str, words: u32) -> bool {
    text.len() >= BYTES_MIN && Shape::of(text).is_prose(words)
}

/// What decides whether a text is one.
#[derive(Clone, Copy, Debug, Default)]
struct Shape {
    /// Words with a letter.
    words: u32,
    /// Characters; a hash counts as one, and as no word, so that a second look says what the first one said.
    chars: u32,
    /// Characters of scripts without spaces.
    unspaced: u32,
    /// It has a word of everyday speech.
    speaks: bool,
    /// It goes over several lines.
    lines: bool,
    ending: Ending,
}

/// How a text ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Ending {
    /// Like a question or an exclamation.
    Loud,
    /// With a full stop.
    Stop,
    #[default]
    Open,
}

impl Shape {
    fn of(text: &str) -> Self {
        let text = text.trim();
        let mut shape = Self { lines: text.contains(['\n', '\r']), ..Self::default() };
        for word in text.split_whitespace() {
            shape.chars += u32::from(shape.chars > 0);
            let letters = shape.word(word);
            shape.words += u32::from(letters);
            let bare = word.trim_matches(|c: char| !c.is_alphanumeric());
            shape.speaks |= SPEECH.iter().any(|known| bare.eq_ignore_ascii_case(known));
        }
        shape.ending =
            match text.trim_end_matches(['"', '\'', ')', '\u{201d}', '\u{300d}']).chars().next_back() {
                Some('?' | '!' | '\u{ff1f}' | '\u{ff01}' | '\u{2026}' | '\u{61f}') => Ending::Loud,
                Some('.' | '\u{3002}' | '\u{964}') => Ending::Stop,
                _ => Ending::Open,
            };
        shape
    }

    /// Counts a word's characters and says whether it has a letter.
    fn word(&mut self, word: &str) -> bool {
        let mut letters = false;
        let mut rest = word;
        while let Some(first) = rest.chars().next() {
            if matches!(first, 's' | 'h')
                && let Some(length) = hash_length(rest)
            {
                self.chars += 1;
                rest = rest.get(length..).unwrap_or_default();
                continue;
            }
            self.chars = self.chars.saturating_add(1);
            self.unspaced += u32::from(is_unspaced(first));
            letters |= first.is_alphabetic();
            rest = rest.get(first.len_utf8()..).unwrap_or_default();
        }
        letters
    }

    fn is_prose(self, words: u32) -> bool {
        let Self { words: found, chars, unspaced, .. } = self;
        let ends = match self.ending {
            Ending::Loud => found >= 2 || unspaced > UNSPACED_FEW,
            Ending::Stop => found >= 4 || unspaced > UNSPACED_FEW,
            Ending::Open => false,
        };
        found >= words
            || (found >= 2 && (chars > CHARS_MAX || self.lines))
            || (found >= 3 && self.speaks)
            || ends
            || unspaced > UNSPACED_MAX
            || chars > WORD_CHARS_MAX
    }
}

/// Bytes of the hash that a text begins with.
fn hash_length(text: &str) -> Option<usize> {
    let head = match text.as_bytes() {
        [b's', b'h', b'a', b'2', b'5', b'6', b'-', ..] => 7,
        // `hmac-`, eight digits of the key's id, `-`.
        [b'h', b'm', b'a', b'c', b'-', ..] => 14,
        _ => return None,
    };
    let length = head + super::DIGITS;
    text.get(..length).filter(|text| is_hashed(text)).map(|_| length)
}

fn is_number(text: &str) -> bool {
    text.trim_ascii().parse::<f64>().is_ok()
}

/// Two words, or more than a few characters without spaces.
fn has_words(text: &str) -> bool {
    let text = text.trim();
    if text.is_ascii() {
        return text.bytes().any(|byte| byte.is_ascii_whitespace())
            && text.bytes().any(|byte| byte.is_ascii_alphabetic());
    }
    let shape = Shape::of(text);
    shape.words >= 2 || shape.unspaced > UNSPACED_FEW
}

/// What a name says about its values. Numbers in it are places in lists.
pub(crate) fn key(name: &str) -> Key {
    let mut inside = Key::Plain;
    let mut leaf = "";
    for part in name.split('.') {
        if part.as_bytes().first().is_none_or(u8::is_ascii_digit) {
            continue;
        }
        match container(leaf) {
            Key::Text => inside = Key::Text,
            Key::Often if inside == Key::Plain => inside = Key::Often,
            _ => {}
        }
        leaf = part;
    }
    match inside {
        Key::Text if !is_structure(leaf) => Key::Text,
        // Orders have `parts` and banks `documents`, too.
        Key::Often if leaf.eq_ignore_ascii_case("content") => Key::Text,
        Key::Often if by_leaf(leaf) == Key::Plain && !is_structure(leaf) => Key::Often,
        _ => by_leaf(leaf),
    }
}

/// A name without the places in lists.
pub(crate) fn without_places(name: &str, out: &mut String) {
    out.clear();
    for part in name.split('.') {
        if !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        if !out.is_empty() {
            out.push('.');
        }
        out.push_str(part);
    }
    if out.is_empty() {
        out.push_str(name);
    }
}

fn among(leaf: &str, names: &[&str]) -> bool {
    names.iter().any(|name| leaf.eq_ignore_ascii_case(name))
}

/// Keys under which everything but the structure is text, and those under which it often is.
fn container(part: &str) -> Key {
    let (sure, often): (&[&str], &[&str]) = match part.len() {
        5 => (&["turns"], &["parts", "delta"]),
        6 => (&["dialog"], &["prompt"]),
        7 => (&[], &["history", "prompts", "message"]),
        8 => (&["messages", "contents", "dialogue"], &["passages"]),
        9 => (&[], &["documents"]),
        12 => (&["chat_history", "conversation"], &[]),
        _ => return Key::Plain,
    };
    match (among(part, sure), among(part, often)) {
        (true, _) => Key::Text,
        (_, true) => Key::Often,
        _ => Key::Plain,
    }
}

/// Keys of a message that hold none of its text.
fn is_structure(leaf: &str) -> bool {
    match leaf.len() {
        2 => among(leaf, &["id"]),
        4 => among(leaf, &["role", "type", "lang"]),
        5 => among(leaf, &["model", "index"]),
        6 => among(leaf, &["format"]),
        8 => among(leaf, &["language", "mimetype"]),
        9 => among(leaf, &["mime_type"]),
        10 => among(leaf, &["media_type"]),
        11 => among(leaf, &["stop_reason"]),
        13 => among(leaf, &["finish_reason"]),
        _ => false,
    }
}

/// By the last part of a name, by its length first: this is asked for every text.
fn by_leaf(leaf: &str) -> Key {
    let (sure, often): (&[&str], &[&str]) = match leaf.len() {
        2 | 3 if leaf.starts_with('f') && leaf.bytes().skip(1).all(|byte| byte.is_ascii_digit()) => {
            return Key::Bare;
        }
        4 => (&["text"], &["body", "note", "user", "memo"]),
        5 => (&["query", "texts", "input"], &["reply", "notes", "title", "topic"]),
        6 => (&["prompt", "inputs"], &["answer", "output", "review", "system", "header", "speech"]),
        7 => (
            &["prompts", "queries"],
            &["content", "comment", "message", "summary", "context", "caption", "passage"],
        ),
        8 => (&["question", "thinking", "sentence"], &["response", "document", "feedback", "abstract"]),
        9 => (
            &["questions", "documents", "inputtext", "sentences", "utterance", "reasoning"],
            &["assistant", "biography"],
        ),
        10 if leaf == "prediction" => return Key::Bare,
        10 => (&["completion", "outputtext", "text_input", "input_text", "transcript"], &["generation"]),
        11 => (&["completions", "instruction", "text_output", "output_text"], &["description"]),
        12 => (&["instructions", "summary_text"], &[]),
        13 => (&["system_prompt", "transcription"], &[]),
        14 => (&["generated_text"], &[]),
        15 => (&["source_sentence"], &[]),
        16 => (&["translation_text"], &[]),
        17 => (&["reasoning_content"], &[]),
        _ => return Key::Plain,
    };
    match (among(leaf, sure), among(leaf, often)) {
        (true, _) => Key::Text,
        (_, true) => Key::Often,
        _ => Key::Plain,
    }
}

/// Scripts that are told apart, by the ranges of their letters.
const SCRIPTS: [&str; 12] = [
    "latin",
    "cyrillic",
    "greek",
    "arabic",
    "hebrew",
    "devanagari",
    "thai",
    "hangul",
    "japanese",
    "han",
    "other",
    "none",
];
const HAN: usize = 9;
const JAPANESE: usize = 8;
const OTHER: usize = 10;
const NONE: usize = 11;

/// What is kept of the texts of a field.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Measures {
    /// Texts.
    pub(crate) count: u32,
    /// Characters (Unicode scalar values).
    pub(crate) chars: u64,
    /// Words: what has white space around it, or a character of a script without spaces.
    pub(crate) words: u64,
    scripts: [u64; OTHER + 1],
}

impl Measures {
    /// Adds a text.
    pub(crate) fn add(&mut self, text: &str) {
        self.count += 1;
        let mut in_word = false;
        for char in text.chars() {
            self.chars += 1;
            let unspaced = is_unspaced(char);
            let is_space = char.is_whitespace();
            self.words += u64::from(unspaced || (!is_space && !in_word));
            in_word = !is_space && !unspaced;
            if char.is_alphabetic()
                && let Some(count) = self.scripts.get_mut(script(char))
            {
                *count += 1;
            }
        }
    }

    /// The script of most letters; text with kana is Japanese, whatever its share of Han.
    pub(crate) fn script(&self) -> &'static str {
        let japanese = self.scripts.get(JAPANESE).is_some_and(|kana| *kana > 0);
        let most = self.scripts.iter().enumerate().rev().max_by_key(|(_, count)| **count);
        let index = match most {
            Some((_, 0)) | None => NONE,
            Some((HAN, _)) if japanese => JAPANESE,
            Some((index, _)) => index,
        };
        SCRIPTS.get(index).copied().unwrap_or("other")
    }
}

fn script(char: char) -> usize {
    match u32::from(char) {
        0x41..=0x24f | 0x1e00..=0x1eff | 0x2c60..=0x2c7f | 0xa720..=0xa7ff | 0xff21..=0xff5a => 0,
        0x400..=0x52f | 0x1c80..=0x1c8f | 0x2de0..=0x2dff | 0xa640..=0xa69f => 1,
        0x370..=0x3ff | 0x1f00..=0x1fff => 2,
        0x600..=0x6ff | 0x750..=0x77f | 0x8a0..=0x8ff | 0xfb50..=0xfdff | 0xfe70..=0xfeff => 3,
        0x590..=0x5ff | 0xfb1d..=0xfb4f => 4,
        0x900..=0x97f => 5,
        0xe00..=0xe7f => 6,
        0x1100..=0x11ff | 0x3130..=0x318f | 0xac00..=0xd7af => 7,
        0x3040..=0x30ff | 0x31f0..=0x31ff | 0xff66..=0xff9d => JAPANESE,
        0x3400..=0x4dbf | 0x4e00..=0x9fff | 0xf900..=0xfaff | 0x20000..=0x3134f => HAN,
        _ => OTHER,
    }
}

/// Han, kana, Thai, Lao, Khmer and Burmese are written without spaces between words.
fn is_unspaced(char: char) -> bool {
    matches!(u32::from(char),
        0xe00..=0xeff | 0x1000..=0x109f | 0x1780..=0x17ff | 0x3040..=0x30ff | 0x3400..=0x4dbf | 0x4e00..=0x9fff
        | 0xf900..=0xfaff | 0x20000..=0x3134f)
}

#[cfg(test)]
#[path = "prose_tests.rs"]
mod tests;
