//! What the dialect answers, for the server's own description.

/// Path below `/v1`, verb and what it does.
pub(crate) const OPERATIONS: &[(&str, &str, &str)] = &[
    ("/projects", "post", "Makes a project: {name}"),
    ("/projects", "get", "The account's projects"),
    ("/projects/{project_id}", "delete", "Deletes a project with all that belongs to it"),
    ("/projects/{project_id}/library/characters", "get", "Characters that are saved to be used again"),
    ("/projects/{project_id}/stories", "post", "Makes a story: {title, default_image_style}"),
    ("/projects/{project_id}/stories", "get", "A project's stories"),
    ("/stories/{story_id}", "get", "A story"),
    ("/stories/{story_id}/set-style-defaults", "post", "Sets the style of scenes without one of their own"),
    ("/stories/{story_id}/progress", "get", "How far the making of a story has come"),
    ("/stories/{story_id}/scenes", "post", "Makes a scene: {source_text, scene_importance}"),
    ("/stories/{story_id}/scenes", "get", "A story's scenes"),
    ("/stories/{story_id}/scenes/auto-chunk", "post", "Cuts a text into scenes: {source_text, max_scenes}"),
    ("/stories/{story_id}/estimate-scenes", "post", "How many scenes a text makes"),
    ("/stories/{story_id}/stale-panels", "get", "Panels that were drawn from what has been edited since"),
    ("/stories/{story_id}/render-stale", "post", "Draws exactly these again, as jobs"),
    ("/stories/{story_id}/generate/blueprint", "post", "Scenes and characters of a text"),
    ("/stories/{story_id}/generate/blueprint_async", "post", "The same as a job"),
    ("/stories/{story_id}/characters", "post", "Adds a character to a story"),
    ("/stories/{story_id}/characters", "get", "A story's characters"),
    ("/stories/{story_id}/characters/load-from-library", "post", "Takes a saved character into a story"),
    ("/utils/estimate-scenes", "post", "How many scenes a text makes"),
    ("/scenes/{scene_id}", "get", "A scene"),
    ("/scenes/{scene_id}/status", "get", "How far a scene is"),
    ("/scenes/{scene_id}/set-style", "post", "Sets or clears a scene's style: {image_style_override}"),
    ("/scenes/{scene_id}/set-environment", "post", "Sets or clears a scene's place: {environment_id}"),
    ("/scenes/{scene_id}/planning/lock", "post", "Locks or unlocks a scene's plan: {locked}"),
    ("/scenes/{scene_id}/plan", "post", "Plans a scene: {panel_count, genre, offline}"),
    ("/scenes/{scene_id}/plan_async", "post", "The same as a job"),
    ("/scenes/{scene_id}/render", "post", "Draws a scene: {style_id, prompt_override, enforce_qc, offline}"),
    ("/scenes/{scene_id}/generate/full", "post", "Plans, tests and draws a scene"),
    ("/scenes/{scene_id}/generate/full_async", "post", "The same as a job"),
    ("/scenes/{scene_id}/generate/render_async", "post", "Draws a scene as a job"),
    ("/scenes/{scene_id}/renders", "get", "All versions of a scene's pictures"),
    ("/scenes/{scene_id}/artifacts", "get", "What was made of a scene; of one type by ?type="),
    ("/scenes/{scene_id}/missing-artifacts", "get", "What its plan lacks"),
    ("/scenes/{scene_id}/review/approve", "post", "Approves a picture: {artifact_id}"),
    ("/scenes/{scene_id}/review/regenerate", "post", "Draws the latest specification again: {reason}"),
    ("/artifacts/{artifact_id}", "get", "An artifact"),
    ("/artifacts/{artifact_id}/lineage", "get", "An artifact and what it came from"),
    ("/characters/{character_id}", "get", "A character"),
    ("/characters/{character_id}", "patch", "Changes a character"),
    ("/characters/{character_id}/approve", "post", "Approves a character"),
    ("/characters/{character_id}/save-to-library", "post", "Saves a character to be used again"),
    ("/characters/{character_id}/remove-from-library", "post", "Takes it out of the library"),
    ("/characters/{character_id}/refs", "post", "Adds a reference picture: {image_url, ref_type}"),
    ("/characters/{character_id}/refs", "get", "A character's reference pictures"),
    ("/characters/{character_id}/refs/{ref_id}", "delete", "Removes one"),
    (
        "/characters/{character_id}/generate-refs",
        "post",
        "Draws reference pictures: {ref_types, count, auto_approve}",
    ),
    ("/characters/{character_id}/approve-ref", "post", "Approves one: {reference_image_id}"),
    ("/characters/{character_id}/set-primary-ref", "post", "Makes one the primary of its type"),
    ("/characters/{character_id}/variants", "post", "Adds a look"),
    ("/characters/{character_id}/variants", "get", "A character's looks"),
    ("/variants/{variant_id}", "delete", "Removes a look"),
    ("/variants/{variant_id}/activate", "post", "Makes a look the active one of its story"),
    ("/variants/{variant_id}/deactivate", "post", "Ends that"),
    (
        "/stories/{story_id}/characters/{character_id}/variant-suggestions",
        "get",
        "Looks that a story suggests",
    ),
    (
        "/stories/{story_id}/characters/{character_id}/variant-suggestions/refresh",
        "post",
        "Reads the story's scenes anew for them",
    ),
    (
        "/stories/{story_id}/characters/{character_id}/variant-suggestions/generate",
        "post",
        "Draws them: {suggestion_id}",
    ),
    ("/environments", "post", "Makes a place: {description, pinned}"),
    ("/environments", "get", "The account's places"),
    ("/environments/{environment_id}", "get", "A place"),
    ("/environments/{environment_id}/promote", "post", "From then on its pictures count"),
    ("/style-presets", "get", "Styles of the server and of a project"),
    ("/style-presets", "post", "Makes a style of a project"),
    ("/style-presets/{preset_id}", "get", "A style with all that it inherits"),
    ("/style-presets/{preset_id}", "patch", "Changes a style of a project"),
    ("/style-presets/{preset_id}", "delete", "Deletes one that none inherits from"),
    ("/style-presets/{preset_id}/clone", "post", "Copies a style into a project"),
    ("/styles/image", "get", "Styles of pictures"),
    ("/jobs/{job_id}", "get", "A job of a graph"),
    ("/jobs/{job_id}/cancel", "post", "Cancels it"),
    ("/projects/{project_id}/bundle", "post", "Writes a project with its files into one file"),
    ("/projects/import", "post", "Takes such a file in as a new project"),
    ("/scenes/{scene_id}/dialogue", "post", "Makes the dialogue layer of a scene: {bubbles}"),
    ("/scenes/{scene_id}/dialogue", "get", "The bubbles of a scene"),
    ("/scenes/{scene_id}/dialogue/suggestions", "get", "Lines that the plan proposes"),
    (
        "/episodes/{episode_id}/letter",
        "post",
        "Makes dialogue layers of what the scripts of its scenes suggest",
    ),
    ("/dialogue/{dialogue_id}", "put", "Replaces the bubbles: {bubbles}"),
    ("/scenes/{scene_id}/layers", "post", "Adds a layer to a scene: {layer_type, objects}"),
    ("/scenes/{scene_id}/layers", "get", "A scene's layers"),
    ("/layers/{layer_id}", "put", "Replaces a layer's objects"),
    ("/stories/{story_id}/episodes", "post", "Makes an episode: {title}"),
    ("/stories/{story_id}/episodes", "get", "A story's episodes"),
    ("/episodes/{episode_id}", "get", "An episode"),
    ("/episodes/{episode_id}/scenes", "post", "Replaces the scenes of an episode, in order: {scene_ids}"),
    ("/episodes/{episode_id}/scenes", "put", "The same"),
    ("/episodes/{episode_id}/set-style", "post", "Sets an episode's style"),
    ("/episodes/{episode_id}/generate/plan", "post", "Lists the scenes of an episode that would be planned"),
    ("/episodes/{episode_id}/assets", "post", "Pins something to an episode: {asset_type, asset_id}"),
    ("/episodes/{episode_id}/assets", "get", "What is pinned to an episode"),
    ("/episodes/{episode_id}/assets/{episode_asset_id}", "delete", "Unpins it"),
    ("/scenes/{scene_id}/export", "post", "Exports a scene"),
    ("/episodes/{episode_id}/export", "post", "Exports an episode: {kind, format}"),
    ("/exports/{export_id}", "get", "An export, and how far it is"),
    ("/exports/{export_id}/finalize", "post", "Collects pictures and bubbles anew and writes the files"),
    ("/exports/{export_id}/download", "get", "Where its files are"),
    ("/exports/{export_id}/generate-video", "post", "Makes a film of an episode, as a job"),
    ("/exports/{export_id}/video", "get", "How the film stands, and where it is"),
    ("/exports/{export_id}/share", "post", "Makes a link by which an episode is read"),
    ("/exports/{export_id}/share", "get", "That link"),
    ("/exports/{export_id}/share", "delete", "Revokes it"),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_route_is_described() {
        let files = [
            include_str!("projects.rs"),
            include_str!("stories.rs"),
            include_str!("scenes.rs"),
            include_str!("artifacts.rs"),
            include_str!("generate.rs"),
            include_str!("characters.rs"),
            include_str!("looks.rs"),
            include_str!("environments.rs"),
            include_str!("style_presets.rs"),
            include_str!("dialogue.rs"),
            include_str!("episodes.rs"),
            include_str!("exports.rs"),
            include_str!("bundles.rs"),
        ];
        let routed: BTreeSet<&str> = files
            .iter()
            // Long lines are broken before the path.
            .flat_map(|file| {
                file.split(".route(").skip(1).filter_map(|rest| rest.trim_start().strip_prefix('"'))
            })
            .filter_map(|rest| rest.split('"').next())
            .collect();
        let described: BTreeSet<&str> = OPERATIONS.iter().map(|(path, ..)| *path).collect();
        assert_eq!(routed, described);
    }
}
