//! Chat Completions, as OpenAI made it and as Mistral, DeepSeek, Ollama, vLLM and others read it.

mod decode;
mod encode;
mod mistral;
mod stream;

pub(crate) use decode::decode;
pub(crate) use encode::encode;
pub(crate) use stream::Stream;
