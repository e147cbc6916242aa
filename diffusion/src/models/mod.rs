//! The networks, module by module after diffusers; fields carry the checkpoints' key names.

pub mod attention;
pub mod attention_context;
pub mod attention_processor;
pub mod autoencoders;
pub mod controlnet;
pub mod downsampling;
pub mod embeddings;
pub mod ip_adapter;
pub mod motion_adapter;
pub mod resnet;
pub mod transformers;
pub mod unets;
pub mod upsampling;
pub mod upscalers;
