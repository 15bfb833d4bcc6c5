//! The probes of LLM answers: token counts, refusals, other vendors' forms, and how fast it came.

use super::openai::{answered, asked};
use super::*;

#[test]
fn every_token_count_is_read() {
    check(
        answered(
            r#"{"choices":[{"message":{"content":"Hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":90,
                "completion_tokens":20,"total_tokens":110,"prompt_tokens_details":{"cached_tokens":64},
                "completion_tokens_details":{"reasoning_tokens":16,"audio_tokens":0}}}"#,
        ),
        "0 prediction.cached_tokens 64, 0 prediction.completion_chars 2, 0 prediction.completion_tokens 20, \
         0 prediction.finish_reason `stop`, 0 prediction.prompt_tokens 90, 0 prediction.reasoning_tokens 16, \
         0 prediction.refusals 0, 0 prediction.tool_calls 0, 0 prediction.total_tokens 110",
    );
    // Numbers of another type are left out.
    check(
        answered(
            r#"{"data":[],"usage":{"prompt_tokens":"secret","completion_tokens":null,"total_tokens":[1]}}"#,
        ),
        "0 prediction.embeddings 0",
    );
}

#[test]
fn refusals_are_counted_once_a_choice() {
    for (body, refusals) in [
        (r#"{"choices":[{"message":{"content":null,"refusal":"I can't"},"finish_reason":"stop"}]}"#, 1),
        (r#"{"choices":[{"message":{"refusal":""}},{"message":{"refusal":null}}]}"#, 0),
        (
            r#"{"choices":[{"message":{"refusal":"no"},"finish_reason":"content_filter"},{"index":1,"message":{"refusal":"no"}}]}"#,
            2,
        ),
        (r#"{"choices":[{"text":"","finish_reason":"content_filter"}]}"#, 1),
        (
            "data: {\"choices\":[{\"index\":0,\"delta\":{\"refusal\":\"I\"}}]}\n\n\
             data: {\"choices\":[{\"index\":0,\"delta\":{\"refusal\":\" can't\"}}]}\n\n\
             data: {\"choices\":[{\"index\":1,\"delta\":{\"content\":\"ok\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n",
            1,
        ),
    ] {
        let found = answered(body).unwrap().join(", ");
        assert!(found.contains(&format!("0 prediction.refusals {refusals}")), "{body}: {found}");
        assert!(!found.contains("can't"), "{found}");
    }
}

#[test]
fn a_finish_reason_is_a_known_word_or_other() {
    for (reason, expected) in [
        ("stop", "stop"),
        ("eos_token", "eos_token"),
        ("st\\u006fp", "stop"),
        ("the customer said their card is 4111", "other"),
        ("Stop", "other"),
    ] {
        let body = format!(r#"{{"choices":[{{"text":"a","finish_reason":"{reason}"}}]}}"#);
        let found = answered(&body).unwrap().join(", ");
        assert!(found.contains(&format!("finish_reason `{expected}`")), "{reason}: {found}");
    }
}

#[test]
fn messages_of_anthropic() {
    check(
        asked(
            "/v1/messages",
            r#"{"model":"claude","max_tokens":99,"system":"Be brief","messages":[{"role":"user","content":[{"type":"text","text":"hi"}]}],"tools":[{"name":"a"}]}"#,
        ),
        "0 max_tokens 99, 0 messages 1, 0 model `claude`, 0 prompt_chars 10, 0 stream `false`, 0 tools 1",
    );
    check(
        answered(
            r#"{"id":"msg_1","type":"message","role":"assistant","content":[{"type":"text","text":"Grüß"},
                {"type":"tool_use","id":"t","name":"n","input":{"a":1}}],"model":"c","stop_reason":"tool_use",
                "usage":{"input_tokens":9,"output_tokens":2,"cache_creation_input_tokens":5,"cache_read_input_tokens":100}}"#,
        ),
        "0 prediction.cached_tokens 100, 0 prediction.completion_chars 4, 0 prediction.completion_tokens 2, \
         0 prediction.finish_reason `tool_use`, 0 prediction.prompt_tokens 114, 0 prediction.refusals 0, \
         0 prediction.tool_calls 1, 0 prediction.total_tokens 116",
    );
    let stream = "event: message_start\n\
data: {\"type\":\"message_start\",\"message\":{\"type\":\"message\",\"content\":[],\"stop_reason\":null,\"usage\":{\"input_tokens\":25,\"output_tokens\":1}}}\n\n\
data: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n\
event: ping\ndata: {\"type\":\"ping\"}\n\n\
data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"Hel\"}}\n\n\
data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"text\":\"lo\",\"type\":\"text_delta\"}}\n\n\
data: {\"type\":\"content_block_start\",\"index\":1,\"content_block\":{\"type\":\"tool_use\",\"input\":{}}}\n\n\
data: {\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"{\"}}\n\n\
data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":15}}\n\n\
data: {\"type\":\"message_stop\"}\n\n";
    let expected = "0 prediction.completion_chars 5, 0 prediction.completion_tokens 15, 0 prediction.content_deltas 2, \
         0 prediction.finish_reason `end_turn`, 0 prediction.prompt_tokens 25, 0 prediction.refusals 0, \
         0 prediction.tool_calls 1, 0 prediction.total_tokens 40";
    check(answered(stream), expected);
    let cut = &stream[..stream.find("data: {\"type\":\"message_delta").unwrap()];
    check(answered(cut), "error truncated");
    let failed = format!(
        "{cut}event: error\ndata: {{\"type\":\"error\",\"error\":{{\"type\":\"overloaded_error\"}}}}\n\n"
    );
    check(answered(&failed), "error upstream_error");
}

#[test]
fn responses_of_openai() {
    check(
        asked(
            "/v1/responses",
            r#"{"model":"m","instructions":"Be brief","input":[{"role":"user","content":[{"type":"input_text","text":"hi"}]},{"role":"user","content":"you"}],"max_output_tokens":7}"#,
        ),
        "0 inputs 2, 0 max_tokens 7, 0 model `m`, 0 prompt_chars 13",
    );
    let whole = r#"{"object":"response","status":"incomplete","error":null,"incomplete_details":{"reason":"max_output_tokens"},
        "output":[{"type":"reasoning","summary":[]},{"type":"message","content":[{"type":"output_text","text":"Hello"},{"type":"refusal","refusal":"no"}]},
        {"type":"function_call","name":"f","arguments":"{}"}],
        "usage":{"input_tokens":36,"input_tokens_details":{"cached_tokens":4},"output_tokens":87,"output_tokens_details":{"reasoning_tokens":80},"total_tokens":123}}"#;
    let counted = "0 prediction.cached_tokens 4, 0 prediction.completion_chars 5, 0 prediction.completion_tokens 87, \
         0 prediction.finish_reason `max_output_tokens`, 0 prediction.prompt_tokens 36, 0 prediction.reasoning_tokens 80, \
         0 prediction.refusals 1, 0 prediction.tool_calls 1, 0 prediction.total_tokens 123";
    check(answered(whole), counted);
    let compact = whole.replace('\n', " ");
    let stream = format!(
        "event: response.created\ndata: {{\"type\":\"response.created\",\"response\":{{\"status\":\"in_progress\",\"output\":[],\"usage\":null,\"error\":null}}}}\n\n\
data: {{\"delta\":\"Hel\",\"type\":\"response.output_text.delta\"}}\n\n\
data: {{\"type\":\"response.output_text.delta\",\"delta\":\"lo\"}}\n\n\
data: {{\"type\":\"response.function_call_arguments.delta\",\"delta\":\"secret\"}}\n\n\
data: {{\"type\":\"response.incomplete\",\"response\":{compact}}}\n\n"
    );
    let streamed = counted
        .replace("0 prediction.finish_reason", "0 prediction.content_deltas 2, 0 prediction.finish_reason");
    check(answered(&stream), &streamed);
    let failed = "data: {\"type\":\"response.failed\",\"response\":{\"status\":\"failed\",\"error\":{\"code\":\"x\"}}}\n\n";
    check(answered(failed), "error upstream_error");
}

#[test]
fn times_become_probes_of_streams_and_of_whole_answers() {
    let request = r#"{"messages":[]}"#;
    let usage = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":11}}\n\n";
    let begun = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"b\"},\"finish_reason\":\"stop\"}]}\n\n";
    let timed = |answer: &str| {
        let mut timed = exchange("/v1/chat/completions", request, 200, answer);
        (timed.first_byte_ms, timed.latency_ms) = (Some(250.0), 1250.0);
        decode(&timed).1
    };
    let found = timed(&format!("{begun}{usage}data: [DONE]\n\n"));
    assert!(found.contains("prediction.tokens_per_second 10,"), "{found}");
    assert!(found.contains("prediction.ttft_ms 250"), "{found}");
    let found = timed(begun);
    assert!(
        found.contains("prediction.deltas_per_second 1,") && !found.contains("tokens_per_second"),
        "{found}"
    );
    let whole = r#"{"choices":[{"text":"a"}],"usage":{"prompt_tokens":3,"completion_tokens":10}}"#;
    let found = timed(whole);
    assert!(found.contains("prediction.tokens_per_second 8,") && !found.contains("ttft"), "{found}");
    // A body decoded without its exchange has no times.
    assert!(!answered(whole).unwrap().join(",").contains("per_second"));
}
