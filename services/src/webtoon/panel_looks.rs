//! What leads the drawing of panels beside their words: how their characters are kept recognisable, and the pictures, models
//! and LoRAs that a render names.

use std::collections::BTreeSet;

use actors::character::consistency::{Consistency, ConsistencySettings};
use actors::conversation::sheet::Sheet;
use actors::render::read_loras;
use models::value_words::{is_not, shown};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use uuid::Uuid;

use crate::context::Context;
use crate::error::{Kind, ServiceError};
use crate::jobs::job_guides;
use crate::jobs::job_request::JobRequest;

/// Objects of one list at most, for all panels together; a panel has fewer.
const OBJECTS_MAX: usize = 32;
/// The member of an object in a list that says for which panel it is.
const PANEL: &str = "panel";

/// What a render is asked for beside its plan; it wins over what the rows of characters say.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PanelLooks {
    /// How characters are kept recognisable, in place of their own `consistency_method`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consistency_method: Option<String>,
    /// The same with strengths and a seed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consistency_settings: Option<ConsistencySettings>,
    /// ControlNets as jobs name them, each for all panels or for its `panel`, counted from 1.
    #[serde(skip_serializing_if = "Json::is_null")]
    pub controls: Json,
    /// IP-Adapters in the same way.
    #[serde(skip_serializing_if = "Json::is_null")]
    pub ip_adapters: Json,
    /// LoRAs in the same way.
    #[serde(skip_serializing_if = "Json::is_null")]
    pub loras: Json,
}

impl PanelLooks {
    /// Those of an artifact; none where it has none. The message names the member that is not understood.
    pub fn read(stored: &Json) -> Result<PanelLooks, ServiceError> {
        if stored.is_null() {
            return Ok(PanelLooks::default());
        }
        let unread = |error| ServiceError::bad(format!("the artifact's looks cannot be read: {error}"));
        serde_json::from_value(stored.clone()).map_err(unread)
    }

    /// Whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        *self == PanelLooks::default()
    }

    /// The lists with the field of each.
    fn lists(&self) -> [(&'static str, &Json); 3] {
        [("controls", &self.controls), ("ip_adapters", &self.ip_adapters), ("loras", &self.loras)]
    }

    /// Refuses what no panel could be drawn by, and other accounts' files, and answers with the fields that nothing reads.
    pub fn check(&self, context: &Context, user: Uuid) -> Result<Vec<String>, ServiceError> {
        for (field, list) in self.lists() {
            let count = list.as_array().map_or(0, Vec::len);
            if count > OBJECTS_MAX {
                let reason = format!("{count} are given; {OBJECTS_MAX} are taken for all panels at most");
                return Err(ServiceError::field(field, reason));
            }
            for (place, item) in list.as_array().into_iter().flatten().enumerate() {
                let panel = &item[PANEL];
                if !panel.is_null() && panel.as_u64().is_none_or(|panel| panel == 0) {
                    let reason = is_not(&shown(panel), "a whole number from 1");
                    return Err(ServiceError::field(format!("{field}[{place}].{PANEL}"), reason));
                }
            }
        }
        let mut warnings = BTreeSet::new();
        for panel in self.panels() {
            let said = self.check_panel(context, user, panel).map_err(|error| match error.field_name() {
                Some(field) => {
                    let field = self.in_own_places(panel, field);
                    error.of_field(field)
                }
                None => error,
            })?;
            warnings.extend(said.iter().map(|warning| self.in_own_places(panel, warning)));
        }
        Ok(warnings.into_iter().collect())
    }

    fn check_panel(&self, context: &Context, user: Uuid, panel: u64) -> Result<Vec<String>, ServiceError> {
        let mut request = self.request(Some(panel));
        let warnings = request.tidy()?;
        request.check_numbers()?;
        read_loras(&request.loras).map_err(|message| ServiceError::worded(Kind::Bad, message))?;
        job_guides::check_owners(context, user, &request)?;
        Ok(warnings)
    }

    /// The panels that objects are for by name, and one that stands for all others.
    fn panels(&self) -> BTreeSet<u64> {
        let items = self.lists().into_iter().flat_map(|(_, list)| list.as_array().into_iter().flatten());
        items.filter_map(|item| item[PANEL].as_u64()).chain([u64::MAX]).collect()
    }

    /// A field or a message of a panel's job, which counts the objects for it alone, with their places in the render's lists.
    pub(crate) fn in_own_places(&self, panel: u64, said: &str) -> String {
        let renumbered = || {
            let (field, rest) = said.split_once('[')?;
            let (place, rest) = rest.split_once(']')?;
            let (_, list) = self.lists().into_iter().find(|(known, _)| *known == field)?;
            let mut places =
                list.as_array()?.iter().enumerate().filter(|(_, item)| is_for(item, Some(panel)));
            let (own, _) = places.nth(place.parse().ok()?)?;
            Some(format!("{field}[{own}]{rest}"))
        };
        renumbered().unwrap_or_else(|| said.to_string())
    }

    /// Objects that are for a panel which a scene of so many has not.
    pub fn beyond(&self, panels: u64) -> Vec<String> {
        let mut warnings = Vec::new();
        for (field, list) in self.lists() {
            for (place, item) in list.as_array().into_iter().flatten().enumerate() {
                if let Some(panel) = item[PANEL].as_u64().filter(|panel| *panel > panels) {
                    warnings.push(format!(
                        "{field}[{place}].{PANEL}: {panel} is none of the scene's {panels} panels, so it changes nothing"
                    ));
                }
            }
        }
        warnings
    }

    /// A job with what leads a panel, or any.
    pub(crate) fn request(&self, panel: Option<u64>) -> JobRequest {
        JobRequest {
            consistency_method: self.consistency_method.clone(),
            consistency_settings: self.consistency_settings.clone(),
            controls: of_panel(&self.controls, panel),
            ip_adapters: of_panel(&self.ip_adapters, panel),
            loras: of_panel(&self.loras, panel),
            ..JobRequest::default()
        }
    }

    /// What a character has to say of a drawing, under what the render is asked for.
    pub(crate) fn consistency(&self, character: &Sheet) -> Consistency {
        Consistency::of(character, &self.request(None).consistency())
    }
}

/// Whether an object is for a panel, or for any.
fn is_for(item: &Json, panel: Option<u64>) -> bool {
    match (item[PANEL].as_u64(), panel) {
        (Some(its), Some(panel)) => its == panel,
        _ => true,
    }
}

/// Those of a list that are for a panel, without the member that says so.
fn of_panel(list: &Json, panel: Option<u64>) -> Json {
    let Json::Array(items) = list else { return list.clone() };
    let items = items.iter().filter(|item| is_for(item, panel)).cloned().map(|mut item| {
        if let Json::Object(members) = &mut item {
            members.remove(PANEL);
        }
        item
    });
    let items: Vec<Json> = items.collect();
    if items.is_empty() { Json::Null } else { Json::Array(items) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_leads_one_panel_leads_no_other() {
        let looks = PanelLooks {
            controls: json!([{"model": "depth", "panel": 2}, {"model": "pose"}]),
            loras: json!([{"name": "ink", "panel": 3}]),
            ..PanelLooks::default()
        };
        let first = looks.request(Some(1));
        assert_eq!((first.controls, first.loras), (json!([{"model": "pose"}]), Json::Null));
        let second = looks.request(Some(2));
        assert_eq!(second.controls, json!([{"model": "depth"}, {"model": "pose"}]));
        assert_eq!(looks.request(None).loras, json!([{"name": "ink"}]));
        assert_eq!(looks.in_own_places(1, "controls[0].scale: 9"), "controls[1].scale: 9");
        assert_eq!(looks.in_own_places(2, "controls[0].scale: 9"), "controls[0].scale: 9");
        assert_eq!(looks.in_own_places(1, "seed: 9"), "seed: 9");
        assert_eq!(
            looks.beyond(2),
            ["loras[0].panel: 3 is none of the scene's 2 panels, so it changes nothing"]
        );
        assert!(looks.beyond(3).is_empty() && !looks.is_empty());
        assert_eq!(PanelLooks::read(&json!(looks)).ok(), Some(looks));
        assert!(PanelLooks::read(&Json::Null).is_ok_and(|looks| looks.is_empty()));
        assert!(PanelLooks::read(&json!({"consistency_method": 7})).is_err());
    }
}
