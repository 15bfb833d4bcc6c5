use proptest::prelude::*;

use super::*;

#[test]
fn categories_stay_categories() {
    for text in [
        "New York",
        "Self-emp-not-inc",
        "some college",
        "Married-civ-spouse",
        "Outlying-US(Guam-USVI-etc)",
        "1st-4th",
        "St. Louis Park",
        "Acme Holding Inc.",
        "Trinadad&Tobago",
        "A",
        "DE",
        "true",
        "2026-01-31 12:00:00 +0000 UTC",
        "3f2504e0-4f89-11d3-9a0c-0305e82c3301",
        "arn:aws:s3:::bucket/key/2026/11/30/part-00000.snappy.parquet",
        "Yahoo!",
        "meta-llama/Llama-3.1-8B-Instruct",
        "1:0.5 2:0.7 3:1.5 4:1 5:2 6:9",
        "United Kingdom of GB",
        "all other industries",
        "\u{6771}\u{4eac}\u{90fd}",
        "Bosnia and Herzegovina",
        "Health & Beauty",
        "not in universe",
    ] {
        assert_eq!(judge("field", text), None, "{text}");
    }
}

#[test]
fn prose_is_known_by_what_it_is() {
    for text in [
        "My SECRETWORD is what?",
        "But why me?",
        "I would like to cancel",
        "My name is Bob",
        "the quick brown fox jumps",
        "Please call back",
        "internationalisation of unquestionably long",
        "first line\nsecond",
        "Ich bin krank gewesen heute",
        "\u{6211}\u{7684}\u{540d}\u{5b57}\u{662f}\u{5c0f}\u{660e}\u{ff0c}\u{4f60}\u{5462}\u{ff1f}",
        &"x".repeat(200),
    ] {
        assert_eq!(judge("field", text), Some(Prose::ByValue), "{text}");
    }
}

#[test]
fn keys_of_chats_make_texts_of_short_values() {
    for (name, text) in [
        ("messages.0.content", "Hi"),
        ("contents.0.parts.0.text", "Hi"),
        ("prompt", "Hi"),
        ("inputs", "Bob"),
        ("text", "Bob"),
        ("query", "Bob"),
        ("documents.3", "Bob"),
        ("documents.3.text", "Bob"),
        ("prediction.message.content", "Hi"),
        ("message.note", "too late"),
        ("prediction.generated_text", "blue"),
        ("prediction.0.generated_text", "blue"),
        ("prediction.choices.0.message.content", "very blue"),
        ("description", "two words"),
        ("Text", "Bob"),
        ("inputs.question", "who"),
        ("messages.1.tool_calls.0.arguments", "{}"),
    ] {
        assert_eq!(judge(name, text), Some(Prose::ByKey), "{name}");
    }
    for (name, text) in [
        ("messages.0.role", "user"),
        ("country", "Bob"),
        ("response", "approved"),
        ("inputs.country", "DE"),
        ("prediction", "setosa"),
        ("prediction", "Egyptian cat"),
        ("text", "12.5"),
        ("f0", "New York"),
        ("", "x"),
        ("prediction.class", "very good"),
        ("documents.0.type", "id card"),
        ("documents.0.country", "DE"),
        ("message.country", "DE"),
        ("history.0.merchant", "Aldi"),
        ("prediction.choices.0.finish_reason", "stop"),
        ("description", "None"),
        ("", ""),
    ] {
        assert_eq!(judge(name, text), None, "{name} {text}");
    }
}

#[test]
fn texts_are_measured() {
    for (text, chars, words, script) in [
        ("My name is Bob", 14, 4, "latin"),
        ("\u{43f}\u{440}\u{438}\u{432}\u{435}\u{442} mir", 10, 2, "cyrillic"),
        ("\u{6211}\u{662f}", 2, 2, "han"),
        ("\u{6771}\u{4eac}\u{306f}", 3, 3, "japanese"),
        ("12 34", 5, 2, "none"),
        ("", 0, 0, "none"),
    ] {
        let mut measures = Measures::default();
        measures.add(text);
        assert_eq!((measures.chars, measures.words, measures.script()), (chars, words, script), "{text}");
    }
}

#[test]
fn places_in_lists_are_no_part_of_a_name() {
    let mut out = String::new();
    for (name, expected) in [
        ("messages.0.content", "messages.content"),
        ("a.b", "a.b"),
        ("0", "0"),
        ("a.12", "a"),
        ("a.1b", "a.1b"),
    ] {
        without_places(name, &mut out);
        assert_eq!(out, expected);
    }
}

proptest! {
    /// Up to four plain words of up to eight letters are what categories look like.
    #[test]
    fn short_words_stay(words in prop::collection::vec("[bcdfghjk][a-z]{2,7}", 1..4)) {
        let text = words.join(" ");
        prop_assume!(!words.iter().any(|word| SPEECH.contains(&word.as_str())));
        prop_assert_eq!(judge("field", &text), None);
    }

    #[test]
    fn five_words_are_a_text(words in prop::collection::vec("\\PC{0,3}[a-z]{1,9}", 5..30)) {
        let text = words.join(" ");
        prop_assert!(is_prose(&text), "{}", text);
    }

    #[test]
    fn any_text_is_judged_and_measured(name in ".{0,30}", text in "\\PC{0,80}") {
        let _ = judge(&name, &text);
        let mut measures = Measures::default();
        measures.add(&text);
        prop_assert_eq!(measures.chars, text.chars().count() as u64);
        prop_assert!(measures.words <= measures.chars);
    }

    /// What detectors put in the place of something never makes a text of what was none.
    #[test]
    fn hashes_count_as_little(words in prop::collection::vec("[bcdfghjk][a-z]{2,7}", 0..3), at in 0_usize..3) {
        let mut words = words;
        words.insert(at.min(words.len()), format!("<sha256-{}>", "0f".repeat(16)));
        prop_assume!(!words.iter().any(|word| SPEECH.contains(&word.as_str())));
        prop_assert!(!is_prose(&words.join(" ")));
    }
}
