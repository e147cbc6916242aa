//! Which tools does a reply call, whose parts come in pieces?

use serde_json::{Value, json};

use super::wire::CallPiece;

/// Calls of one reply.
const CALLS_MAX: usize = 64;
/// Arguments of all calls together, in bytes.
const ARGUMENTS_BYTES_MAX: usize = 1 << 20;

/// The calls so far.
#[derive(Debug, Default)]
pub(super) struct CalledTools {
    calls: Vec<Call>,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Call {
    index: usize,
    id: Option<String>,
    name: String,
    arguments: String,
}

impl CalledTools {
    /// Adds pieces; what is beyond the limits is left out.
    pub(super) fn add(&mut self, pieces: Vec<CallPiece>) {
        for piece in pieces {
            let known = self.calls.iter().position(|call| call.index == piece.index);
            let at = match known {
                Some(at) => at,
                None if self.calls.len() < CALLS_MAX => {
                    self.calls.push(Call { index: piece.index, ..Call::default() });
                    self.calls.len() - 1
                }
                None => continue,
            };
            let call = &mut self.calls[at];
            call.id = piece.id.filter(|id| !id.is_empty()).or(call.id.take());
            for (to, text) in
                [(&mut call.name, piece.function.name), (&mut call.arguments, piece.function.arguments)]
            {
                let text = text.unwrap_or_default();
                self.bytes += text.len();
                if self.bytes <= ARGUMENTS_BYTES_MAX {
                    to.push_str(&text);
                }
            }
        }
    }

    /// The calls as OpenAI's dialect has them, in their order.
    pub(super) fn finish(mut self) -> Vec<Value> {
        self.calls.sort_by_key(|call| call.index);
        let calls = self.calls.into_iter().filter(|call| !call.name.is_empty());
        let call = |call: Call| {
            let id = call.id.unwrap_or_else(|| format!("call_{:016x}", rand::random::<u64>()));
            json!({"id": id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}})
        };
        calls.map(call).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::wire::parse_chunk;
    use super::*;

    #[test]
    fn pieces_are_put_together_in_their_order() {
        let mut called = CalledTools::default();
        for data in [
            r#"{"choices":[{"delta":{"tool_calls":[{"index":1,"id":"b","function":{"name":"two","arguments":""}}]}}]}"#,
            r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"one","arguments":"{\"x\""}}]}}]}"#,
            r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":":1}"}},{"index":2}]},"finish_reason":"tool_calls"}]}"#,
        ] {
            called.add(parse_chunk(data).expect("a chunk").tool_calls);
        }
        let calls = called.finish();
        assert_eq!(calls.len(), 2, "a call without a name is none");
        assert_eq!(calls[0]["id"], "a");
        assert_eq!(calls[0]["function"], json!({"name": "one", "arguments": "{\"x\":1}"}));
        assert_eq!(calls[1]["function"]["name"], "two");
        let mut many = CalledTools::default();
        for index in 0..2 * CALLS_MAX {
            let piece = json!({"index": index, "function": {"name": "x", "arguments": "y".repeat(100_000)}});
            many.add(vec![serde_json::from_value(piece).expect("a piece")]);
        }
        assert!(many.calls.len() == CALLS_MAX);
        assert!(many.calls.iter().map(|call| call.arguments.len()).sum::<usize>() <= ARGUMENTS_BYTES_MAX);
    }
}
