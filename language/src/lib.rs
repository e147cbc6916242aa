//! How words are made: local chat models and remote OpenAI-compatible ones.
