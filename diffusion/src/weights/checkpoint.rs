//! Single-file checkpoints: the names that the original Stable Diffusion code gave its weights.

use crate::models::unets::unet_2d_config::UNet2DConditionConfig;

/// diffusers' name of a UNet weight → the original one, without `model.diffusion_model.`.
pub fn original_unet_name(name: &str, config: &UNet2DConditionConfig) -> Option<String> {
    let levels = config.levels().ok()?;
    for (ours, theirs) in [
        ("conv_in.", "input_blocks.0.0."),
        ("time_embedding.linear_1.", "time_embed.0."),
        ("time_embedding.linear_2.", "time_embed.2."),
        ("add_embedding.linear_1.", "label_emb.0.0."),
        ("add_embedding.linear_2.", "label_emb.0.2."),
        ("conv_norm_out.", "out.0."),
        ("conv_out.", "out.2."),
    ] {
        if let Some(rest) = name.strip_prefix(ours) {
            return Some(format!("{theirs}{rest}"));
        }
    }
    let mut parts = name.splitn(5, '.');
    let (block, first, second) = (parts.next()?, parts.next()?, parts.next()?);
    if block == "mid_block" {
        let index: usize = second.parse().ok()?;
        let rest = name.splitn(4, '.').nth(3)?;
        return Some(match first {
            "resnets" => format!("middle_block.{}.{}", index * 2, original_resnet_name(rest)),
            _ => format!("middle_block.{}.{rest}", index * 2 + 1),
        });
    }
    let level: usize = first.parse().ok()?;
    let (index, rest): (usize, &str) = (parts.next()?.parse().ok()?, parts.next()?);
    match block {
        "down_blocks" => {
            let before: usize = 1 + levels.iter().take(level).map(|level| level.layers + 1).sum::<usize>();
            Some(match second {
                "resnets" => format!("input_blocks.{}.0.{}", before + index, original_resnet_name(rest)),
                "attentions" => format!("input_blocks.{}.1.{rest}", before + index),
                _ => format!(
                    "input_blocks.{}.0.op.{}",
                    before + levels[level].layers,
                    rest.strip_prefix("conv.")?
                ),
            })
        }
        "up_blocks" => {
            let from_top = |up: usize| levels.len().checked_sub(1 + up).map(|i| &levels[i]);
            let before: usize = (0..level).filter_map(from_top).map(|level| level.layers + 1).sum();
            let level = from_top(level)?;
            Some(match second {
                "resnets" => format!("output_blocks.{}.0.{}", before + index, original_resnet_name(rest)),
                "attentions" => format!("output_blocks.{}.1.{rest}", before + index),
                _ => {
                    let place = if level.up_attends { 2 } else { 1 };
                    format!("output_blocks.{}.{place}.{rest}", before + level.layers)
                }
            })
        }
        _ => None,
    }
}

fn original_resnet_name(name: &str) -> String {
    let pairs = [
        ("norm1.", "in_layers.0."),
        ("conv1.", "in_layers.2."),
        ("time_emb_proj.", "emb_layers.1."),
        ("norm2.", "out_layers.0."),
        ("conv2.", "out_layers.3."),
        ("conv_shortcut.", "skip_connection."),
    ];
    replaced(name, &pairs)
}

fn replaced(name: &str, pairs: &[(&str, &str)]) -> String {
    let found =
        pairs.iter().find_map(|(ours, theirs)| name.strip_prefix(ours).map(|rest| format!("{theirs}{rest}")));
    found.unwrap_or_else(|| name.into())
}

/// diffusers' name of a VAE weight → the original one, without `first_stage_model.`.
pub fn original_vae_name(name: &str, levels: usize) -> Option<String> {
    let Some((half, rest)) = name.split_once('.').filter(|(half, _)| ["encoder", "decoder"].contains(half))
    else {
        return Some(name.into());
    };
    let shortcut = |rest: &str| rest.replace("conv_shortcut.", "nin_shortcut.");
    let parts: Vec<&str> = rest.splitn(5, '.').collect();
    let rest = match parts.as_slice() {
        ["mid_block", "resnets", index, tail @ ..] => {
            format!("mid.block_{}.{}", index.parse::<usize>().ok()? + 1, shortcut(&tail.join(".")))
        }
        ["mid_block", "attentions", _, tail @ ..] => {
            let pairs = [
                ("group_norm.", "norm."),
                ("to_q.", "q."),
                ("to_k.", "k."),
                ("to_v.", "v."),
                ("to_out.0.", "proj_out."),
            ];
            format!("mid.attn_1.{}", replaced(&tail.join("."), &pairs))
        }
        ["down_blocks", level, "resnets", index, tail] => {
            format!("down.{level}.block.{index}.{}", shortcut(tail))
        }
        ["down_blocks", level, _, _, tail] => format!("down.{level}.downsample.{tail}"),
        ["up_blocks", level, kind, index, tail] => {
            // The original counts from the largest picture.
            let level = levels.checked_sub(1 + level.parse::<usize>().ok()?)?;
            match *kind {
                "resnets" => format!("up.{level}.block.{index}.{}", shortcut(tail)),
                _ => format!("up.{level}.upsample.{tail}"),
            }
        }
        _ => rest.replace("conv_norm_out.", "norm_out."),
    };
    Some(format!("{half}.{rest}"))
}

/// Where a tensor of a text encoder is found: the original name, and which part of it.
#[derive(Debug, PartialEq)]
pub enum OriginalText {
    /// The whole tensor.
    Whole(String),
    /// A third of the rows.
    Third(String, usize),
    /// Rows and columns exchanged.
    Transposed(String),
}

/// transformers' name of a text encoder weight → that of OpenCLIP.
pub fn open_clip_name(name: &str) -> Option<OriginalText> {
    use OriginalText::*;
    let whole = |name: &str| Some(Whole(name.into()));
    if name == "text_projection.weight" {
        return Some(Transposed("text_projection".into()));
    }
    let rest = name.strip_prefix("text_model.")?;
    match rest {
        "embeddings.token_embedding.weight" => return whole("token_embedding.weight"),
        "embeddings.position_embedding.weight" => return whole("positional_embedding"),
        _ => {}
    }
    if let Some(rest) = rest.strip_prefix("final_layer_norm.") {
        return whole(&format!("ln_final.{rest}"));
    }
    let (layer, rest) = rest.strip_prefix("encoder.layers.")?.split_once('.')?;
    let layer = format!("transformer.resblocks.{layer}");
    let thirds = [("q_proj.", 0), ("k_proj.", 1), ("v_proj.", 2)];
    if let Some(rest) = rest.strip_prefix("self_attn.") {
        let third =
            thirds.iter().find_map(|(prefix, part)| rest.strip_prefix(prefix).map(|kind| (kind, *part)));
        return match third {
            Some((kind, part)) => Some(Third(format!("{layer}.attn.in_proj_{kind}"), part)),
            None => whole(&format!("{layer}.attn.{rest}")),
        };
    }
    let pairs = [
        ("layer_norm1.", "ln_1."),
        ("layer_norm2.", "ln_2."),
        ("mlp.fc1.", "mlp.c_fc."),
        ("mlp.fc2.", "mlp.c_proj."),
    ];
    whole(&format!("{layer}.{}", replaced(rest, &pairs)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names as they stand in published files of Stable Diffusion 1.5.
    #[test]
    fn published_names_are_met() {
        let config = UNet2DConditionConfig {
            cross_attention_dim: crate::config::OneOrMany::One(768),
            ..UNet2DConditionConfig::default()
        };
        for (ours, theirs) in [
            (
                "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q.weight",
                "input_blocks.4.1.transformer_blocks.0.attn1.to_q.weight",
            ),
            ("down_blocks.0.downsamplers.0.conv.bias", "input_blocks.3.0.op.bias"),
            ("down_blocks.3.resnets.1.conv2.weight", "input_blocks.11.0.out_layers.3.weight"),
            ("mid_block.resnets.1.norm1.weight", "middle_block.2.in_layers.0.weight"),
            ("mid_block.attentions.0.proj_in.weight", "middle_block.1.proj_in.weight"),
            ("up_blocks.0.upsamplers.0.conv.weight", "output_blocks.2.1.conv.weight"),
            ("up_blocks.1.upsamplers.0.conv.weight", "output_blocks.5.2.conv.weight"),
            ("up_blocks.3.resnets.2.conv_shortcut.weight", "output_blocks.11.0.skip_connection.weight"),
            ("time_embedding.linear_2.bias", "time_embed.2.bias"),
            ("conv_out.weight", "out.2.weight"),
        ] {
            assert_eq!(original_unet_name(ours, &config).as_deref(), Some(theirs));
        }
        for (ours, theirs) in [
            ("decoder.up_blocks.0.resnets.2.conv1.weight", "decoder.up.3.block.2.conv1.weight"),
            ("decoder.up_blocks.2.resnets.0.conv_shortcut.bias", "decoder.up.1.block.0.nin_shortcut.bias"),
            ("decoder.up_blocks.0.upsamplers.0.conv.bias", "decoder.up.3.upsample.conv.bias"),
            ("encoder.down_blocks.2.downsamplers.0.conv.weight", "encoder.down.2.downsample.conv.weight"),
            ("encoder.mid_block.attentions.0.to_out.0.weight", "encoder.mid.attn_1.proj_out.weight"),
            ("decoder.mid_block.resnets.1.norm2.bias", "decoder.mid.block_2.norm2.bias"),
            ("decoder.conv_norm_out.weight", "decoder.norm_out.weight"),
            ("post_quant_conv.weight", "post_quant_conv.weight"),
        ] {
            assert_eq!(original_vae_name(ours, 4).as_deref(), Some(theirs));
        }
        assert_eq!(
            open_clip_name("text_model.encoder.layers.3.self_attn.k_proj.bias"),
            Some(OriginalText::Third("transformer.resblocks.3.attn.in_proj_bias".into(), 1))
        );
    }
}
