//! Chat, completions and embeddings as numbers.

use proptest::prelude::*;

use super::*;

pub(super) fn asked(path: &str, body: &str) -> Result<Vec<String>, &'static str> {
    let mut into = Decoded::new();
    match plain().decode_request(path.as_bytes(), body.as_bytes(), &mut into) {
        Ok(()) => Ok(shown(into.features())),
        Err(error) => {
            assert_eq!(into.n_cells(), 0);
            Err(error.kind.as_str())
        }
    }
}

pub(super) fn answered(body: &str) -> Result<Vec<String>, &'static str> {
    let mut into = Decoded::new();
    match plain().decode_response(b"/v1/chat/completions", body.as_bytes(), &mut into) {
        Ok(()) => Ok(shown(into.predictions())),
        Err(error) => {
            assert_eq!(into.n_cells(), 0);
            Err(error.kind.as_str())
        }
    }
}

#[test]
fn requests() {
    for (path, body, expected) in [
        (
            "/v1/chat/completions",
            r#"{"model":"gpt-x","messages":[{"role":"system","content":"Grüß 😀"},{"role":"user","content":"hi"}],
                "temperature":0,"max_completion_tokens":200,"stream":false,"seed":7}"#,
            "0 max_tokens 200, 0 messages 2, 0 model `gpt-x`, 0 prompt_chars 8, 0 stream `false`, 0 temperature 0",
        ),
        (
            "/v1/chat/completions",
            r#"{"messages":[{"content":[{"type":"text","text":"ab\u00e9"},{"type":"image_url","image_url":{"url":"data:x"}}]},
                {"role":"assistant","content":null,"tool_calls":[{"id":"c"}]}],"stream":true}"#,
            "0 messages 2, 0 prompt_chars 3, 0 stream `true`",
        ),
        (
            "/v1/completions",
            r#"{"model":"m","prompt":["ab","c"],"max_tokens":16}"#,
            "0 inputs 2, 0 max_tokens 16, 0 model `m`, 0 prompt_chars 3, 0 stream `false`",
        ),
        (
            "/v1/completions",
            r#"{"prompt":[1,2,3],"max_tokens":5,"max_completion_tokens":null}"#,
            "0 inputs 1, 0 max_tokens 5, 0 prompt_chars 0, 0 prompt_tokens 3, 0 stream `false`",
        ),
        (
            "/v1/embeddings",
            r#"{"model":"e","input":"text","encoding_format":"float","dimensions":256,"user":"someone"}"#,
            "0 dimensions 256, 0 inputs 1, 0 model `e`, 0 prompt_chars 4",
        ),
        ("/v1/embeddings", r#"{"input":[[1,2],[3]]}"#, "0 inputs 2, 0 prompt_chars 0, 0 prompt_tokens 3"),
        ("/v1/chat/completions", r#"{"messages":[]}"#, "0 messages 0, 0 prompt_chars 0, 0 stream `false`"),
        // Settings of another type are left out.
        (
            "/v1/chat/completions",
            r#"{"messages":[{"content":"a"},"b",{"content":7}],"model":["x"],"max_tokens":"x","temperature":"x","stream":"x"}"#,
            "0 messages 3, 0 prompt_chars 1, 0 stream `false`",
        ),
        // A key given twice: the last counts.
        (
            "/v1/chat/completions",
            r#"{"messages":[{"content":"abc"}],"messages":[{"content":"abcd","content":"a"}]}"#,
            "0 messages 1, 0 prompt_chars 1, 0 stream `false`",
        ),
        ("/v1/chat/completions", r#"{"messages":"x"}"#, "error shape"),
        ("/v1/chat/completions", r#"{"model":"x"}"#, "error unrecognised"),
        ("/v1/chat/completions", "[1]", "error shape"),
        ("/v1/chat/completions", r#"{"messages":[{"content":"a""#, "error syntax"),
        ("/v1/chat/completions", r#"{"messages":[]} x"#, "error syntax"),
        ("/v1/chat/completions", "", "error empty"),
        ("/v1/chat/completions", "a=b", "error not_json"),
    ] {
        check(asked(path, body), expected);
    }
    let long = format!(r#"{{"messages":[],"model":"{}"}}"#, "x".repeat(300));
    check(asked("/v1/chat/completions", &long), "error text_too_long");
}

#[test]
fn answers_in_one_piece() {
    for (body, expected) in [
        (
            r#"{"id":"chatcmpl-1","object":"chat.completion","created":1785326610,"model":"gpt-x-2026-05",
                "choices":[{"index":0,"message":{"role":"assistant","content":"Hello","refusal":null},"logprobs":null,"finish_reason":"stop"}],
                "usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11,"prompt_tokens_details":{"cached_tokens":0}}}"#,
            "0 prediction.cached_tokens 0, 0 prediction.completion_chars 5, 0 prediction.completion_tokens 2, \
             0 prediction.finish_reason `stop`, 0 prediction.prompt_tokens 9, 0 prediction.refusals 0, \
             0 prediction.tool_calls 0, 0 prediction.total_tokens 11",
        ),
        (
            r#"{"choices":[{"finish_reason":"tool_calls","message":{"content":null,"tool_calls":[{"id":"a"},{"id":"b"}]}},
                {"index":1,"message":{"content":"xy","function_call":{"name":"f"}},"finish_reason":"length"}]}"#,
            "0 prediction.completion_chars 2, 0 prediction.finish_reason `length`, 0 prediction.refusals 0, 0 prediction.tool_calls 3",
        ),
        (
            r#"{"object":"text_completion","choices":[{"text":"abc","finish_reason":"length"}],"usage":null}"#,
            "0 prediction.completion_chars 3, 0 prediction.finish_reason `length`, 0 prediction.refusals 0",
        ),
        (
            r#"{"object":"list","data":[{"embedding":[3,4,0]},{"embedding":[-1]}],"usage":{"prompt_tokens":5,"total_tokens":5}}"#,
            "0 prediction.dimensions 3, 0 prediction.embedding_norm 3, 0 prediction.embeddings 2, \
             0 prediction.prompt_tokens 5, 0 prediction.total_tokens 5",
        ),
        // Two floats in base64.
        (
            r#"{"data":[{"embedding":"AAAAAAAAgD8="}]}"#,
            "0 prediction.dimensions 2, 0 prediction.embedding_norm 1, 0 prediction.embeddings 1",
        ),
        // What is no embedding is counted and has no norm.
        (
            r#"{"data":[{"embedding":"?"},{"embedding":["a"]},{"embedding":[]},7]}"#,
            "0 prediction.embeddings 4",
        ),
        (r#"{"error":{"message":"no"},"choices":[]}"#, "error upstream_error"),
        (r#"{"choices":[]}"#, "error unrecognised"),
        (r#"{"choices":[{"message":{"content":"a"}}"#, "error syntax"),
        ("{}", "error unrecognised"),
        ("[]", "error shape"),
        ("", "error empty"),
    ] {
        check(answered(body), expected);
    }
}

const STREAM: &str = ": ping\r\n\r\n\
data: {\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}],\"usage\":null}\r\n\r\n\
data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Gr\u{fc}\"},\"finish_reason\":null}],\"obfuscation\":\"abc\"}\r\n\r\n\
data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\\u00df!\"}}]}\r\n\r\n\
data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\r\n\r\n";

#[test]
fn streams_are_added_up() {
    let usage = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":2}}\n\n";
    let done = "data: [DONE]\n\n";
    let counted = "0 prediction.completion_chars 5, 0 prediction.content_deltas 2, 0 prediction.finish_reason `stop`, \
         0 prediction.refusals 0, 0 prediction.tool_calls 0";
    check(answered(&format!("{STREAM}{done}")), counted);
    check(answered(&format!("{STREAM}data: [DONE]")), counted);
    // What follows the end does not count; an end that only the finish reason tells is enough.
    check(answered(&format!("{STREAM}{done}data: x\n\n")), counted);
    check(answered(STREAM), counted);
    check(
        answered(&format!("{STREAM}{usage}{done}")),
        "0 prediction.completion_chars 5, 0 prediction.completion_tokens 2, 0 prediction.content_deltas 2, \
         0 prediction.finish_reason `stop`, 0 prediction.prompt_tokens 9, 0 prediction.refusals 0, \
         0 prediction.tool_calls 0, 0 prediction.total_tokens 11",
    );
    let calls = r#"data: {"choices":[{"delta":{"tool_calls":[{"index":0,"id":"a"}]}}]}

data: {"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{"}}]}}]}

data: {"choices":[{"delta":{"tool_calls":[{"index":1,"id":"b"},{"index":99999999999}]}}]}

data: {"choices":[{"delta":{},"finish_reason":"tool_calls"}]}

data: [DONE]
"#;
    check(
        answered(calls),
        "0 prediction.completion_chars 0, 0 prediction.content_deltas 0, 0 prediction.finish_reason `tool_calls`, \
         0 prediction.refusals 0, 0 prediction.tool_calls 2",
    );
}

#[test]
fn broken_streams_are_refused() {
    let begun = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n";
    for (body, expected) in [
        (begun.to_owned(), "error truncated"),
        (
            format!("{begun}data: {{\"error\":{{\"message\":\"boom\"}}}}\n\ndata: [DONE]\n\n"),
            "error upstream_error",
        ),
        (format!("{begun}data: {{\"choices\":[\n\n"), "error syntax"),
        (format!("{begun}data: 7\n\n"), "error shape"),
        (": ping\n\n".to_owned(), "error truncated"),
        ("data: [DONE]\n\n".to_owned(), "error unrecognised"),
    ] {
        check(answered(&body), expected);
    }
}

#[test]
fn an_exchange_holds_no_word_of_what_was_said() {
    let request = r#"{"model":"m","messages":[{"role":"user","content":"secret","name":"secret"}],"user":"secret",
        "max_tokens":"secret","stop":["secret"],"metadata":{"secret":"secret"},"tools":[{"x":"secret"}]}"#;
    let answer = r#"{"id":"secret","choices":[{"message":{"content":"secret","tool_calls":[{"function":{"arguments":"secret"}}]},"finish_reason":"stop"}]}"#;
    let mut exchange =
        typed("/v1/chat/completions", ("application/json", request), ("application/json", answer));
    for _ in 0..2 {
        let mut into = Decoded::new();
        let outcome = plain().decode(&exchange, &mut into).unwrap();
        assert_eq!(outcome.response_error, None);
        assert!(into.n_cells() > 0 && !format!("{into:?}").contains("secret"), "{into:?}");
        let stream = format!("data: {}\n\ndata: [DONE]\n\n", answer.replace("message", "delta"));
        exchange.response = Body { content_type: Some("text/event-stream".into()), ..Body::complete(stream) };
    }
}

proptest! {
    #[test]
    fn any_bytes_are_decoded_or_refused(
        head in prop::sample::select(vec!["", "data: ", "{\"choices\":[", "{\"messages\":[", "data: {\"choices\":["]),
        tail in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let body = [head.as_bytes(), &tail].concat();
        let mut into = Decoded::new();
        let mut decoder = Decoder::new(spec(Protocol::Openai));
        let asked = decoder.decode_request(b"/", &body, &mut into);
        prop_assert_eq!(asked.is_ok(), into.n_features() > 0);
        let answered = decoder.decode_response(b"/", &body, &mut into);
        prop_assert_eq!(answered.is_ok(), into.n_predictions() > 0);
        prop_assert!(into.n_cells() <= 30);
    }

    #[test]
    fn characters_are_counted_like_the_standard_library_counts(texts in prop::collection::vec(any::<String>(), 0..5)) {
        let messages: Vec<_> = texts.iter().map(|text| serde_json::json!({"role": "user", "content": text})).collect();
        let body = serde_json::json!({ "messages": messages }).to_string();
        let chars: usize = texts.iter().map(|text| text.chars().count()).sum();
        let expected = [format!("0 messages {}", texts.len()), format!("0 prompt_chars {chars}"), "0 stream `false`".to_owned()];
        prop_assert_eq!(asked("/v1/chat/completions", &body).unwrap(), expected);

        let chunks: String = texts.iter().map(|text| {
            format!("data: {}\n\n", serde_json::json!({"choices": [{"index": 0, "delta": {"content": text}}]}))
        }).collect();
        let found = answered(&format!("{chunks}data: [DONE]\n\n"));
        if texts.is_empty() {
            prop_assert_eq!(found, Err("unrecognised"));
        } else {
            let deltas = texts.iter().filter(|text| !text.is_empty()).count();
            let expected = format!(
                "0 prediction.completion_chars {chars}, 0 prediction.content_deltas {deltas}, \
                 0 prediction.refusals 0, 0 prediction.tool_calls 0"
            );
            prop_assert_eq!(found.unwrap().join(", "), expected);
        }
    }
}
