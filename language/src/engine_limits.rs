//! How much may an engine take on, and how long may its conversations be?

use crate::cpu::KvNumbers;
use crate::models::configuration_llama::LlamaConfig;

/// How much an engine may take on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EngineLimits {
    /// Replies made at the same time.
    pub active_max: usize,
    /// Requests that may wait.
    pub waiting_max: usize,
    /// Longest conversation with its reply, in tokens; 0 for what the model was trained for, which holds as well.
    pub context_tokens_max: usize,
    /// Memory for the keys and values of all replies that are made at the same time, in bytes: conversations are so long
    /// that all of them fit.
    pub context_bytes_max: usize,
    /// How keys and values are kept on the processor.
    pub kv_numbers: KvNumbers,
    /// Memory for conversations that are not being continued right now.
    pub cache_bytes_max: usize,
    /// Tokens that a step reads ahead where replies repeat what their conversations say; 0 for none. Replies are the same,
    /// and written sooner.
    pub drafted_tokens_max: usize,
}

/// Shorter than this no context is made, whatever memory there is.
const CONTEXT_TOKENS_MIN: usize = 2048;

impl Default for EngineLimits {
    fn default() -> EngineLimits {
        EngineLimits {
            active_max: 4,
            waiting_max: 64,
            context_tokens_max: 0,
            context_bytes_max: 1 << 30,
            kv_numbers: KvNumbers::F16,
            cache_bytes_max: 256 << 20,
            drafted_tokens_max: 7,
        }
    }
}

impl EngineLimits {
    /// Bytes of the keys and values of one token.
    pub fn token_bytes(&self, config: &LlamaConfig) -> usize {
        2 * config.num_hidden_layers * config.key_value_size() * self.kv_numbers.size()
    }

    /// Longest conversation with its reply of a model, in tokens.
    pub fn context_tokens(&self, config: &LlamaConfig) -> usize {
        let trained = config.max_position_embeddings;
        let wanted = match self.context_tokens_max {
            0 => trained,
            tokens => tokens.min(trained),
        };
        let fitting = self.context_bytes_max / self.active_max.max(1) / self.token_bytes(config).max(1);
        wanted.min(fitting.max(CONTEXT_TOKENS_MIN))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_context_is_what_was_trained_and_asked_for_and_fits() {
        let config = LlamaConfig::from_hugging_face(&json!({
            "model_type": "llama", "vocab_size": 8, "hidden_size": 2048, "intermediate_size": 8, "head_dim": 64,
            "num_hidden_layers": 16, "num_attention_heads": 32, "num_key_value_heads": 8,
            "max_position_embeddings": 131_072
        }))
        .unwrap();
        let limits = EngineLimits::default();
        assert_eq!(limits.token_bytes(&config), 2 * 16 * 8 * 64 * 2);
        assert_eq!(limits.context_tokens(&config), 8192, "four conversations in a GiB");
        let context = |change: &dyn Fn(&mut EngineLimits)| {
            let mut limits = limits;
            change(&mut limits);
            limits.context_tokens(&config)
        };
        assert_eq!(context(&|limits| limits.kv_numbers = KvNumbers::F32), 4096);
        assert_eq!(context(&|limits| limits.active_max = 1), 32_768);
        assert_eq!(context(&|limits| limits.context_bytes_max = 64 << 30), 131_072);
        assert_eq!(context(&|limits| limits.context_tokens_max = 3000), 3000);
        assert_eq!(context(&|limits| limits.context_bytes_max = 1), CONTEXT_TOKENS_MIN);
    }
}
