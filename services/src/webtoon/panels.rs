//! What panels are drawn from: words, seeds and pictures of characters, and hashes of all of it, by which a panel is
//! found stale later.

use std::collections::BTreeMap;

use actors::character::consistency::Method;
use actors::conversation::sheet::Sheet;
use models::Value;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};
use store::query::Query;
use uuid::Uuid;
use webtoon::drawing::codes;
use webtoon::drawing::prompt::{Scene, Shown};
use webtoon::drawing::references::{self, Cast, Face, Look, Reference};
use webtoon::planning::layout::Rect;

use super::panel_looks::PanelLooks;
use super::{characters, records, scenes};
use crate::context::Context;
use crate::error::ServiceError;
use crate::ids::uuid;
use crate::rows::position;

/// Columns of a character by which it looks as it does.
const LOOKS: [&str; 9] = [
    "name",
    "description",
    "gender",
    "age_range",
    "appearance",
    "hair_description",
    "base_outfit",
    "identity_line",
    "canonical_code",
];

/// Columns by which its pictures are led, where it has them.
const LEADS: [&str; 3] = ["base_prompt", "seed_locked", "consistency_method"];
/// What the column for the method says unless something else was set.
const METHOD_DEFAULT: (&str, Option<&str>) = ("consistency_method", Some("i2i_reference"));
/// Default LoRAs of one character that are looked at.
const LORAS_MAX: u64 = 100;

/// One panel as it is drawn.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PanelSpec {
    /// Its place, from 1.
    pub panel_index: u64,
    /// What is seen.
    pub prompt: String,
    /// What is not.
    pub negative_prompt: String,
    /// The seed of its first drawing.
    pub seed: u64,
    /// Where it lies on the page.
    pub rect: Rect,
    /// The picture of its first character, which it begins with or whose looks lead it.
    pub reference_image_url: Option<String>,
    /// Its characters, the one that leads it first. Earlier versions wrote none.
    #[serde(default)]
    pub character_ids: Vec<Uuid>,
    /// Hashes of what it is made from.
    pub made_from: MadeFrom,
}

/// Hashes of what a panel is made from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MadeFrom {
    /// What is seen and said in it.
    pub text: String,
    /// The style with all that it inherits.
    pub style: String,
    /// The place.
    pub environment: Option<String>,
    /// Its characters' rows.
    pub characters: BTreeMap<String, String>,
    /// The looks or pictures that they are drawn from.
    pub references: BTreeMap<String, String>,
    /// The model.
    pub model: String,
}

/// What the panels of a scene are made from, as it is now.
#[derive(Clone, Debug)]
pub struct Sources {
    scene: Uuid,
    story: Uuid,
    style: (String, Map<String, Json>),
    environment: Option<Json>,
    people: Vec<Person>,
    model: String,
}

#[derive(Clone, Debug)]
struct Person {
    id: String,
    shown: Shown,
    hash: String,
    reference: Option<Reference>,
    /// The seed that it is locked to.
    seed: Option<u64>,
}

impl Sources {
    /// Reads them; `model` is a row of the catalogue that draws in place of this server's own model, `looks` what the render
    /// was asked for.
    pub async fn of(
        context: &Context,
        scene: &Json,
        style: Option<&str>,
        model: Option<&str>,
        looks: &PanelLooks,
    ) -> Result<Sources, ServiceError> {
        let (scene_id, story) =
            (uuid(&scene["id"]).unwrap_or_default(), uuid(&scene["story_id"]).unwrap_or_default());
        let style = scenes::style_of(context, scene, style).await?;
        let environment = match uuid(&scene["environment_id"]) {
            Some(id) => Some(records::get(context, "environment_anchors", id, "environment").await?),
            None => None,
        };
        let rows = scenes::characters(context, story).await?;
        let used: Vec<&str> = rows.iter().filter_map(|row| row["canonical_code"].as_str()).collect();
        let mut used: Vec<String> = used.into_iter().map(str::to_string).collect();
        let mut casts = Vec::with_capacity(rows.len());
        for row in &rows {
            casts.push(cast(context, row, story).await?);
        }
        let chosen = references::choose(&casts, &[], &scene_id.to_string(), &style.0);
        let mut people = Vec::with_capacity(rows.len());
        for (row, cast) in rows.iter().zip(&casts) {
            let text = |column: &str| row[column].as_str().unwrap_or_default().trim().to_string();
            let code = row["canonical_code"].as_str().map(str::to_string);
            // An actor without a code gets one for this picture alone.
            let code = code.or_else(|| codes::next(&used)).unwrap_or_default();
            used.push(code.clone());
            let consistency = Sheet::read(row.clone()).map(|sheet| looks.consistency(&sheet));
            let method = consistency.as_ref().map(|it| it.method).unwrap_or_default();
            let is_drawn_from = !matches!(method, Method::SeedLocked | Method::None);
            let reference = chosen.iter().find(|reference| reference.character == cast.id).cloned();
            let reference = reference.filter(|_| is_drawn_from);
            let identity = [text("identity_line"), text("hair_description")];
            let identity: Vec<String> = identity.into_iter().filter(|text| !text.is_empty()).collect();
            let mut made_of: Map<String, Json> =
                LOOKS.iter().map(|column| ((*column).to_string(), row[*column].clone())).collect();
            made_of.extend(leads(context, row, reference.is_none(), model).await?);
            people.push(Person {
                id: cast.id.clone(),
                shown: Shown {
                    code,
                    name: text("name"),
                    identity: if identity.is_empty() { text("description") } else { identity.join(", ") },
                    outfit: text("base_outfit"),
                    has_reference: reference.is_some(),
                },
                hash: hash(&Json::Object(made_of)),
                reference,
                seed: consistency.and_then(|it| it.seed),
            });
        }
        let model = match model {
            Some(model) => model.to_string(),
            None => context.services.settings.image_model.clone().unwrap_or_default(),
        };
        Ok(Sources { scene: scene_id, story, style, environment, people, model })
    }

    /// The specification of a scene's pictures.
    pub fn spec(&self, layout: &Json, seen: &[Json], art: Option<&Json>, words: Option<&str>) -> Json {
        let shown: Vec<Shown> = self.people.iter().map(|person| person.shown.clone()).collect();
        let place = self.environment_words();
        let scene = Scene {
            style: self.style.1.clone(),
            art_direction: art,
            layout_text: layout["layout_text"].as_str().unwrap_or_default(),
            characters: &shown,
            environment: place.as_deref(),
            panels: seen,
        };
        let page = scene.page();
        let rects: Vec<Rect> = serde_json::from_value(layout["panels"].clone()).unwrap_or_default();
        let panels: Vec<PanelSpec> = (1..)
            .zip(seen.iter().zip(rects))
            .map(|(number, (panel, rect))| {
                let mut prompt = scene.panel(panel);
                if let Some(words) = words {
                    prompt.positive = words.to_string();
                }
                let mut people = self.people_in(panel);
                let seed = self.seed(&people, number);
                // Whose picture it is drawn from leads it.
                if let Some(place) = people.iter().position(|person| person.reference.is_some()) {
                    people[..=place].rotate_right(1);
                }
                PanelSpec {
                    panel_index: number,
                    prompt: prompt.positive,
                    negative_prompt: prompt.negative,
                    seed,
                    rect,
                    reference_image_url: people
                        .iter()
                        .find_map(|person| person.reference.as_ref().map(|it| it.image_url.clone())),
                    character_ids: people
                        .iter()
                        .filter_map(|person| Uuid::parse_str(&person.id).ok())
                        .collect(),
                    made_from: self.made_from(panel),
                }
            })
            .collect();
        let active: Vec<&str> = self
            .people
            .iter()
            .filter(|person| seen.iter().any(|panel| is_in(person, panel)))
            .map(|it| it.id.as_str())
            .collect();
        let variants: Map<String, Json> = self
            .people
            .iter()
            .filter_map(|person| {
                let reference = person.reference.as_ref()?;
                Some((
                    person.id.clone(),
                    json!(reference.look.clone().unwrap_or_else(|| reference.image_url.clone())),
                ))
            })
            .collect();
        json!({
            "prompt": words.unwrap_or(&page.positive), "negative_prompt": page.negative, "style_id": self.style.0,
            "layout_template_id": layout["template_id"], "layout": layout["panels"], "panel_count": panels.len(),
            "active_char_ids": active, "variant_ref_ids": variants, "panels": panels,
        })
    }

    /// Hashes of what a panel would be made from now.
    pub fn made_from(&self, panel: &Json) -> MadeFrom {
        let people = self.people_in(panel);
        MadeFrom {
            text: hash(panel),
            style: hash(&json!([self.style.0, self.style.1])),
            environment: self.environment.as_ref().map(|place| {
                hash(&json!([place["description"], place["reference_images"], place["locked_elements"]]))
            }),
            characters: people.iter().map(|person| (person.id.clone(), person.hash.clone())).collect(),
            references: people
                .iter()
                .filter_map(|person| {
                    let Reference { look, image_url, .. } = person.reference.as_ref()?;
                    Some((person.id.clone(), hash(&json!([look, image_url]))))
                })
                .collect(),
            model: self.model.clone(),
        }
    }

    /// Panels that show several characters which have pictures, of which one alone is drawn from its own.
    pub fn led_by_one(&self, seen: &[Json]) -> Vec<String> {
        let of = |(number, panel): (u64, &Json)| {
            let people = self.people_in(panel);
            let mut names =
                people.iter().filter(|person| person.reference.is_some()).map(|it| it.shown.name.as_str());
            let (first, others) = (names.next()?, names.collect::<Vec<_>>());
            (!others.is_empty()).then(|| {
                format!(
                    "panel {number}: drawn from the picture of {first}, and of {} by words",
                    others.join(", ")
                )
            })
        };
        (1..).zip(seen).filter_map(of).collect()
    }

    /// The characters of a panel.
    fn people_in(&self, panel: &Json) -> Vec<&Person> {
        self.people.iter().filter(|person| is_in(person, panel)).collect()
    }

    fn environment_words(&self) -> Option<String> {
        let place = self.environment.as_ref()?;
        let mut words = vec![place["description"].as_str().unwrap_or_default().to_string()];
        let locked = place["locked_elements"].as_array().into_iter().flatten();
        words.extend(locked.filter_map(Json::as_str).map(str::to_string));
        Some(words.join(", "))
    }

    /// A seed that stays for a character wherever it is seen alone, so that it looks alike; else the panel's own.
    fn seed(&self, people: &[&Person], number: u64) -> u64 {
        let from = match people {
            [Person { seed: Some(seed), .. }] => return *seed & (i64::MAX as u64),
            [one] => format!("{}:{}", self.story, one.id),
            _ => format!("{}:{number}", self.scene),
        };
        let digest = blake3::hash(from.as_bytes());
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&digest.as_bytes()[..8]);
        u64::from_le_bytes(bytes) & (i64::MAX as u64)
    }
}

impl MadeFrom {
    /// What differs from another time, in words of what was edited.
    pub fn differences(&self, now: &MadeFrom) -> Vec<String> {
        let mut reasons = Vec::new();
        for (differs, what) in [
            (self.text != now.text, "text"),
            (self.style != now.style, "style"),
            (self.environment != now.environment, "environment"),
            (self.model != now.model, "model"),
        ] {
            if differs {
                reasons.push(what.to_string());
            }
        }
        for (what, before, after) in [
            ("character", &self.characters, &now.characters),
            ("reference", &self.references, &now.references),
        ] {
            let ids = before.keys().chain(after.keys());
            let mut changed: Vec<&String> = ids.filter(|id| before.get(*id) != after.get(*id)).collect();
            changed.dedup();
            reasons.extend(changed.into_iter().map(|id| format!("{what} {id}")));
        }
        reasons.sort();
        reasons.dedup();
        reasons
    }
}

fn is_in(person: &Person, panel: &Json) -> bool {
    references::names(&panel["characters"]).iter().any(|name| {
        name.eq_ignore_ascii_case(&person.shown.name) || *name == person.shown.code || *name == person.id
    })
}

/// What leads the pictures of a character beside its looks, as far as it has any: what is absent adds nothing, so that
/// panels that earlier versions drew without it stay fresh. Without a picture of the webtoon's own `reference_image_url` counts.
async fn leads(
    context: &Context,
    row: &Json,
    by_own_reference: bool,
    model: Option<&str>,
) -> Result<Map<String, Json>, ServiceError> {
    let mut found = Map::new();
    let own = by_own_reference.then_some("reference_image_url");
    for column in LEADS.into_iter().chain(own) {
        let value = &row[column];
        if !value.is_null() && *value != "" && (column, value.as_str()) != METHOD_DEFAULT {
            found.insert(column.into(), value.clone());
        }
    }
    for name in ["reference_strength", "denoise_strength"] {
        let value = &row["media_defaults"][name];
        if !value.is_null() {
            found.insert(name.into(), value.clone());
        }
    }
    // Rows of the catalogue have LoRAs of other models.
    let (Some(character), None) = (uuid(&row["id"]), model) else { return Ok(found) };
    let own_model = context.services.settings.image_model.as_deref().unwrap_or(actors::render::STARTER);
    let query = Query::all(position("character_loras"))
        .equal("user_id", Value::Uuid(context.user()?))
        .equal("character_id", Value::Uuid(character))
        .order("created_at", true)
        .limit(LORAS_MAX);
    let loras = context.rows(query).await?;
    let default = loras.iter().find(|row| row["is_default"] == true && row["base_model"] == own_model);
    if let Some(lora) = default {
        found.insert(
            "lora".into(),
            json!([lora["name"], lora["scale"], lora["trigger_word"], lora["job_id"]]),
        );
    }
    Ok(found)
}

/// A character's looks and faces.
async fn cast(context: &Context, row: &Json, story: Uuid) -> Result<Cast, ServiceError> {
    let id = uuid(&row["id"]).unwrap_or_default();
    let references = characters::references(context, id).await?;
    let picture = |id: &Json| {
        let found = references.iter().find(|row| !id.is_null() && row["id"] == *id);
        found.and_then(|row| row["image_url"].as_str().map(str::to_string))
    };
    let looks = characters::variants(context, id, Some(story)).await?;
    let looks = looks.iter().map(|look| Look {
        id: look["id"].as_str().unwrap_or_default().into(),
        variant_type: look["variant_type"].as_str().unwrap_or_default().into(),
        image_url: picture(&look["reference_image_id"]),
        is_active: look["is_active_for_story"] == Json::Bool(true),
        scene_ids: look["override_attributes"]["scene_ids"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|id| id.as_str().map(str::to_string))
            .collect(),
    });
    let faces =
        references.iter().filter(|row| row["approved"] == Json::Bool(true) && row["ref_type"] == "face");
    let faces = faces.map(|row| Face {
        image_url: row["image_url"].as_str().unwrap_or_default().into(),
        is_primary: row["is_primary"] == Json::Bool(true),
        created_at: row["created_at"].as_str().unwrap_or_default().into(),
    });
    Ok(Cast { id: id.to_string(), looks: looks.collect(), faces: faces.collect() })
}

fn hash(json: &Json) -> String {
    blake3::hash(json.to_string().as_bytes()).to_hex().to_string()
}

/// The nearest shape that a panel is drawn in, by its rectangle on a page of 9:16.
pub fn aspect_ratio(rect: &Rect) -> &'static str {
    match (rect.w * 9.0) / (rect.h * 16.0).max(f64::EPSILON) {
        wide if wide > 1.3 => "16:9",
        tall if tall < 0.77 => "9:16",
        _ => "1:1",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_edited_is_named() {
        let before = MadeFrom {
            characters: BTreeMap::from([("a".to_string(), "1".to_string()), ("b".into(), "1".into())]),
            style: "x".into(),
            ..MadeFrom::default()
        };
        let mut now = before.clone();
        assert!(before.differences(&now).is_empty());
        now.characters.insert("a".into(), "2".into());
        now.style = "y".into();
        now.references.insert("b".into(), "1".into());
        assert_eq!(before.differences(&now), ["character a", "reference b", "style"]);
    }

    #[test]
    fn panels_are_drawn_in_the_shape_that_they_have_on_the_page() {
        let rect = |w, h| Rect { x: 0.0, y: 0.0, w, h };
        assert_eq!(aspect_ratio(&rect(1.0, 1.0)), "9:16");
        assert_eq!(aspect_ratio(&rect(1.0, 0.32)), "16:9");
        assert_eq!(aspect_ratio(&rect(1.0, 0.6)), "1:1");
    }
}
