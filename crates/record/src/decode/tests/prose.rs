//! No word of a chat is kept, wherever it comes in.

use proptest::prelude::*;

use super::*;

fn seen(path: &str, request: &str, answer: &str, decoder: &mut Decoder) -> String {
    let mut into = Decoded::new();
    let outcome = decoder.decode(&exchange(path, request, 200, answer), &mut into);
    let cells = shown(into.features()).into_iter().chain(shown(into.predictions()));
    format!("{outcome:?} {}", cells.collect::<Vec<_>>().join(", "))
}

const ASKED: [(&str, &str); 19] = [
    ("/invocations", r#"{"messages":[{"role":"user","content":"SECRET"}]}"#),
    ("/invocations", r#"{"inputs":"SECRET","parameters":{"top_k":1}}"#),
    ("/invocations", r#"{"inputs":["SECRET","My SECRET"]}"#),
    ("/invocations", r#"{"inputs":{"question":"SECRET","context":"My SECRET"}}"#),
    (
        "/model/x/converse",
        r#"{"messages":[{"role":"user","content":[{"text":"SECRET"}]}],"system":[{"text":"SECRET"}]}"#,
    ),
    ("/model/x/invoke", r#"{"prompt":"SECRET","max_gen_len":9}"#),
    ("/model/x/invoke", r#"{"inputText":"SECRET","textGenerationConfig":{"topP":1}}"#),
    ("/v1beta/models/g:generateContent", r#"{"contents":[{"role":"user","parts":[{"text":"SECRET"}]}]}"#),
    (
        "/v1beta/models/g:generateContent",
        r#"{"contents":[{"parts":[{"text":"SECRET"}]}],"systemInstruction":{"parts":[{"text":"SECRET"}]}}"#,
    ),
    ("/api/chat", r#"{"model":"l","messages":[{"role":"user","content":"SECRET"}],"stream":false}"#),
    ("/api/generate", r#"{"model":"l","prompt":"SECRET","system":"be SECRET"}"#),
    ("/rerank", r#"{"query":"SECRET","documents":["SECRET","a SECRET"],"top_n":2}"#),
    ("/rerank", r#"{"query":"SECRET","texts":["SECRET"],"raw_scores":false}"#),
    ("/v1/rerank", r#"{"query":"SECRET","documents":[{"text":"SECRET"}]}"#),
    ("/v1/moderations", r#"{"model":"m","input":"SECRET"}"#),
    ("/tokenize", r#"{"model":"m","prompt":"SECRET"}"#),
    ("/v1/chat/completions/", r#"{"messages":[{"role":"user","content":"SECRET"}]}"#),
    ("/v1/models/m:predict", r#"{"instances":[{"prompt":"SECRET"},{"content":"my SECRET"}]}"#),
    ("/ask", r#"{"whatever":{"they":["call it, my SECRET is one of many words"]}}"#),
];

const ANSWERS: [&str; 12] = [
    r#"{"choices":[{"message":{"role":"assistant","content":"SECRET"},"finish_reason":"stop"}]}"#,
    r#"[{"generated_text":"SECRET"}]"#,
    r#"{"generated_text":"SECRET"}"#,
    r#"{"output":{"message":{"role":"assistant","content":[{"text":"SECRET"}]}},"stopReason":"end_turn","usage":{"inputTokens":1}}"#,
    r#"{"candidates":[{"content":{"parts":[{"text":"SECRET"}],"role":"model"},"finishReason":"STOP"}]}"#,
    r#"{"model":"l","message":{"role":"assistant","content":"my SECRET"},"done":true}"#,
    r#"{"model":"l","response":"my SECRET","done":true}"#,
    r#"{"results":[{"index":0,"document":{"text":"SECRET"},"relevance_score":0.5}]}"#,
    r#"{"results":[{"outputText":"SECRET","completionReason":"FINISH"}]}"#,
    r#"{"completion":"SECRET","stop_reason":"stop"}"#,
    r#"{"predictions":["this is my SECRET answer"]}"#,
    r#"{"summary_text":"SECRET"}"#,
];

#[test]
fn no_word_of_a_chat_is_kept_at_any_path() {
    for (path, request) in ASKED {
        for answer in ANSWERS {
            let mut decoder = Decoder::default();
            // The second time by a layout, where there is one.
            for _ in 0..2 {
                let seen = seen(path, request, answer, &mut decoder);
                assert!(!seen.contains("SECRET"), "{path} {request} {answer}: {seen}");
            }
        }
    }
}

#[test]
fn what_is_kept_of_a_text_are_its_measures() {
    let mut decoder = Decoder::default();
    let mut into = Decoded::new();
    let mut features = |body: &str| {
        decoder.decode_request(b"/", body.as_bytes(), &mut into).unwrap();
        shown(into.features()).join(", ")
    };
    assert_eq!(
        features(r#"{"a":1,"prompt":"My name is Bob"}"#),
        "0 a 1, 0 prompt.length 14, 0 prompt.script `latin`, 0 prompt.words 4"
    );
    assert_eq!(
        features(r#"{"query":"x","documents":["one","two more"]}"#),
        "0 documents.count 2, 0 documents.length 11, 0 documents.script `latin`, 0 documents.words 3, \
         0 query.length 1, 0 query.script `latin`, 0 query.words 1"
    );
    // Known by its value only: its hash stays where it was, so that equal texts stay equal.
    let found = features(r#"{"why":"I was never asked at all"}"#);
    let hash = Privacy::default().text("why", "I was never asked at all").into_owned();
    assert_eq!(found, format!("0 why `{hash}`, 0 why.length 24, 0 why.script `latin`, 0 why.words 6"));
    // A category that becomes a text, in a body that is written alike.
    assert_eq!(features(r#"{"z":"New York"}"#), "0 z `New York`");
    assert!(features(r#"{"z":"New York is where I live"}"#).contains("0 z.words 6"));
    // A field that is called like a measure is not overwritten.
    assert_eq!(features(r#"{"prompt":"x","prompt.length":7}"#).matches("prompt.length").count(), 1);
}

#[test]
fn hashes_of_texts_by_key_are_keyed_or_not_there() {
    let key = crate::PrivacyKey::new(b"0123456789abcdef0123456789abcdef");
    let privacy = Arc::new(Privacy::new(crate::PrivacySpec { key, ..crate::PrivacySpec::default() }));
    let mut into = Decoded::new();
    let mut decoder = Decoder::new(DecoderSpec { privacy, ..spec(Protocol::Auto) });
    decoder.decode_request(b"/", br#"{"prompt":"Bob"}"#, &mut into).unwrap();
    let cells = shown(into.features()).join(", ");
    assert!(cells.contains("prompt.hash `hmac-"), "{cells}");
    decoder.decode_request(b"/", br#"{"prompt":["Bob","Eve"]}"#, &mut into).unwrap();
    let cells = shown(into.features()).join(", ");
    assert_eq!(cells.matches("prompt.hash").count(), 1, "{cells}");
}

proptest! {
    /// Any sentence, under any key, at any depth, in any form: none of its words is seen again.
    #[test]
    fn no_sentence_is_kept(
        words in prop::collection::vec("[b-z]{4,9}", 5..12),
        key in "[a-z]{1,8}",
        form in 0_usize..6,
    ) {
        let text = words.join(" ");
        let body = match form {
            0 => format!(r#"{{"{key}":"{text}"}}"#),
            1 => format!(r#"{{"instances":[["{text}",1]]}}"#),
            2 => format!(r#"{{"inputs":[{{"name":"{key}","shape":[1],"datatype":"BYTES","data":["{text}"]}}]}}"#),
            3 => format!(r#"{{"dataframe_split":{{"columns":["{key}"],"data":[["{text}"]]}}}}"#),
            4 => format!(r#"{{"{key}":[{{"x":{{"y":"{text}"}}}}],"b":1}}"#),
            _ => format!(r#"[{{"{key}":"{text}"}},{{"{key}":"A"}}]"#),
        };
        let mut decoder = Decoder::default();
        let seen = seen("/", &body, &body, &mut decoder);
        prop_assert!(!words.iter().any(|word| seen.contains(word) && *word != key), "{}", seen);
    }
}
