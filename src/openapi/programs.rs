//! What is asked of OpenAI's dialect and of A1111's: paths, and members of their bodies.

/// One request.
pub(super) struct Operation {
    /// `v1` or `sdapi/v1`.
    pub dialect: &'static str,
    /// Below the dialect.
    pub path: &'static str,
    /// The method, in lower case.
    pub verb: &'static str,
    /// What it does.
    pub summary: &'static str,
    /// Members of the body with their types.
    pub body: &'static [(&'static str, &'static str)],
}

const fn get(dialect: &'static str, path: &'static str, summary: &'static str) -> Operation {
    Operation { dialect, path, verb: "get", summary, body: &[] }
}

const fn post(
    dialect: &'static str,
    path: &'static str,
    summary: &'static str,
    body: &'static [(&'static str, &'static str)],
) -> Operation {
    Operation { dialect, path, verb: "post", summary, body }
}

/// Members that text and pictures are drawn from in A1111's dialect.
const DRAWING: &[(&str, &str)] = &[
    ("prompt", "string"),
    ("negative_prompt", "string"),
    ("styles", "array"),
    ("seed", "integer"),
    ("sampler_name", "string"),
    ("scheduler", "string"),
    ("batch_size", "integer"),
    ("n_iter", "integer"),
    ("steps", "integer"),
    ("cfg_scale", "number"),
    ("width", "integer"),
    ("height", "integer"),
    ("denoising_strength", "number"),
    ("override_settings", "object"),
    ("send_images", "boolean"),
    ("init_images", "array"),
    ("mask", "string"),
    ("inpainting_mask_invert", "integer"),
    ("content_rating", "string"),
];

pub(super) const OPERATIONS: &[Operation] = &[
    get("v1", "/models", "Characters, chat models and picture models that may be named"),
    get("v1", "/models/{id}", "One of them"),
    post(
        "v1",
        "/chat/completions",
        "A reply, whole or streamed",
        &[
            ("model", "string"),
            ("messages", "array"),
            ("stream", "boolean"),
            ("stream_options", "object"),
            ("n", "integer"),
            ("max_tokens", "integer"),
            ("max_completion_tokens", "integer"),
            ("stop", "array"),
            ("seed", "integer"),
            ("temperature", "number"),
            ("top_p", "number"),
            ("presence_penalty", "number"),
            ("frequency_penalty", "number"),
            ("response_format", "object"),
            ("tools", "array"),
            ("tool_choice", "object"),
            ("min_p", "number"),
            ("top_k", "integer"),
            ("repetition_penalty", "number"),
            ("content_rating", "string"),
        ],
    ),
    post(
        "v1",
        "/completions",
        "A text goes on, whole or streamed",
        &[
            ("model", "string"),
            ("prompt", "string"),
            ("max_tokens", "integer"),
            ("temperature", "number"),
            ("top_p", "number"),
            ("n", "integer"),
            ("stream", "boolean"),
            ("stream_options", "object"),
            ("echo", "boolean"),
            ("stop", "array"),
            ("presence_penalty", "number"),
            ("frequency_penalty", "number"),
            ("seed", "integer"),
            ("content_rating", "string"),
        ],
    ),
    post("v1", "/embeddings", "501: no embeddings are made here", &[("model", "string"), ("input", "array")]),
    post(
        "v1",
        "/images/generations",
        "Pictures from words",
        &[
            ("prompt", "string"),
            ("model", "string"),
            ("n", "integer"),
            ("size", "string"),
            ("quality", "string"),
            ("response_format", "string"),
            ("output_format", "string"),
            ("output_compression", "integer"),
            ("negative_prompt", "string"),
            ("seed", "integer"),
            ("steps", "integer"),
            ("guidance_scale", "number"),
            ("scheduler", "string"),
            ("strength", "number"),
            ("character_id", "string"),
            ("prompt_syntax", "string"),
            ("loras", "array"),
            ("vae", "string"),
            ("content_rating", "string"),
        ],
    ),
    post("v1", "/images/edits", "A picture drawn over another one (multipart/form-data)", &[]),
    post("sdapi/v1", "/txt2img", "Pictures from words", DRAWING),
    post("sdapi/v1", "/img2img", "A picture drawn over another one, within a mask if there is one", DRAWING),
    post("sdapi/v1", "/png-info", "How a picture was made, as its file says", &[("image", "string")]),
    get("sdapi/v1", "/progress", "How far the account's drawing is, with a preview"),
    post("sdapi/v1", "/interrupt", "Ends the account's drawing", &[]),
    get("sdapi/v1", "/options", "What the account has chosen"),
    post("sdapi/v1", "/options", "Chooses a model for the account", &[("sd_model_checkpoint", "string")]),
    get("sdapi/v1", "/sd-models", "Picture models"),
    get("sdapi/v1", "/sd-vae", "VAEs that take the place of a model's own"),
    get("sdapi/v1", "/loras", "LoRAs"),
    get("sdapi/v1", "/samplers", "Samplers"),
    get("sdapi/v1", "/schedulers", "Schedules of steps"),
    get("sdapi/v1", "/upscalers", "What makes pictures larger"),
    post(
        "sdapi/v1",
        "/extra-single-image",
        "A picture made larger",
        &[("image", "string"), ("upscaling_resize", "number"), ("upscaler_1", "string")],
    ),
    get("sdapi/v1", "/latent-upscale-modes", "None"),
];
