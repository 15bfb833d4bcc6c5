//! What an answer cost in tokens: as it says itself, or estimated.

use std::sync::{Mutex, PoisonError};

use record::{Cell, DecodeLimits, Decoded, Decoder, DecoderSpec, Exchange, Protocol};

/// Characters (or bytes, where nothing can be read) of a token, when only they are known: about what English text has.
const CHARS_OF_A_TOKEN: f64 = 4.0;

/// Tokens of one exchange.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Tokens {
    pub(super) prompt: u64,
    pub(super) completion: u64,
    /// The answer did not say.
    pub(super) estimated: bool,
}

/// Reads usages; one decoder behind a lock that only the shadow thread takes.
#[derive(Debug)]
pub(super) struct UsageReader(Mutex<(Decoder, Decoded)>);

impl Default for UsageReader {
    fn default() -> Self {
        let spec =
            DecoderSpec { protocol: Protocol::Openai, limits: DecodeLimits::default(), ..Default::default() };
        Self(Mutex::new((Decoder::new(spec), Decoded::new())))
    }
}

impl UsageReader {
    /// What an exchange cost. An answer with an error's status costs nothing; one that never came, or cannot be read,
    /// is taken to have cost what its request and its bytes suggest.
    pub(super) fn tokens(&self, exchange: &Exchange) -> Tokens {
        if exchange.status != 0 && !(200..300).contains(&exchange.status) {
            return Tokens::default();
        }
        let mut guard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (decoder, decoded) = &mut *guard;
        let read = decoder.decode(exchange, decoded);
        let is_read = read.is_ok_and(|outcome| outcome.response_error.is_none());
        let found = |name: &str| value(decoded, name);
        let prompt = found("prediction.prompt_tokens");
        let completion = found("prediction.completion_tokens");
        let is_embedding = found("prediction.embeddings").is_some();
        if let Some(prompt) = prompt
            && (completion.is_some() || is_embedding)
        {
            return Tokens {
                prompt: whole(prompt),
                completion: whole(completion.unwrap_or(0.0)),
                estimated: false,
            };
        }
        let asked =
            found("prompt_tokens").unwrap_or(0.0) + found("prompt_chars").unwrap_or(0.0) / CHARS_OF_A_TOKEN;
        let asked = if decoded.feature_rows() > 0 { asked } else { bytes(exchange.request.total_bytes) };
        let answered = match (is_read, is_embedding) {
            (_, true) => 0.0,
            (true, false) => {
                let chars = found("prediction.completion_chars").unwrap_or(0.0) / CHARS_OF_A_TOKEN;
                found("prediction.content_deltas").unwrap_or(0.0).max(chars)
            }
            (false, false) => bytes(exchange.response.total_bytes),
        };
        Tokens {
            prompt: whole(prompt.unwrap_or(asked)),
            completion: whole(completion.unwrap_or(answered)),
            estimated: true,
        }
    }
}

fn value(decoded: &Decoded, name: &str) -> Option<f64> {
    let mut cells = decoded.features().chain(decoded.predictions());
    match cells.find(|cell| cell.name == name)?.value {
        Cell::Number(number) => Some(number),
        _ => None,
    }
}

fn bytes(count: u64) -> f64 {
    count as f64 / CHARS_OF_A_TOKEN
}

/// Tokens are counted whole; what no answer can have cost is cut.
fn whole(tokens: f64) -> u64 {
    tokens.ceil().clamp(0.0, 1e12) as u64
}

#[cfg(test)]
mod tests {
    use record::{Body, Lane};

    use super::*;

    fn tokens(status: u16, request: &str, response: &str) -> Tokens {
        UsageReader::default().tokens(&exchange(status, request, response))
    }

    fn exchange(status: u16, request: &str, response: &str) -> Exchange {
        Exchange {
            at_ms: 0,
            model: "m".into(),
            version: "v".into(),
            lane: Lane::Shadow,
            tenant: None,
            request_id: Default::default(),
            status,
            latency_ms: 1.0,
            first_byte_ms: None,
            headers: Vec::new(),
            path: "/v1/chat/completions".into(),
            request: Body::complete(request.to_owned()),
            response: Body::complete(response.to_owned()),
            pairing: record::Pairing::Unknown,
        }
    }

    #[test]
    fn an_answer_says_what_it_cost() {
        let said = |prompt, completion| Tokens { prompt, completion, estimated: false };
        let chat =
            r#"{"choices":[{"message":{"content":"Hi"}}],"usage":{"prompt_tokens":9,"completion_tokens":2}}"#;
        assert_eq!(tokens(200, r#"{"messages":[]}"#, chat), said(9, 2));
        // Also when the request cannot be read.
        assert_eq!(
            tokens(200, r#"{"input":"x"}"#, r#"{"data":[{"embedding":[1]}],"usage":{"prompt_tokens":5}}"#),
            said(5, 0)
        );
        assert_eq!(tokens(500, r#"{"messages":[]}"#, chat), said(0, 0));
        assert_eq!(tokens(429, "x", "x"), said(0, 0));
    }

    #[test]
    fn what_it_does_not_say_is_estimated() {
        let guess = |prompt, completion| Tokens { prompt, completion, estimated: true };
        let request = r#"{"messages":[{"content":"123456789"}]}"#;
        // 9 characters are 3 tokens; two deltas are two.
        let stream = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"b\"}}]}\n\ndata: [DONE]\n\n";
        assert_eq!(tokens(200, request, stream), guess(3, 2));
        assert_eq!(tokens(200, request, r#"{"choices":[{"message":{"content":"12345"}}]}"#), guess(3, 2));
        assert_eq!(tokens(200, request, "<html>12"), guess(3, 2));
        assert_eq!(tokens(0, request, ""), guess(3, 0));
        assert_eq!(tokens(0, "12345678", ""), guess(2, 0));
        let mut cut = exchange(200, request, "");
        (cut.response.truncated, cut.response.total_bytes) = (true, 1000);
        assert_eq!(UsageReader::default().tokens(&cut), guess(3, 250));
    }
}
