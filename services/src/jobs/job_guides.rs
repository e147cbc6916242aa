//! ControlNets and IP-Adapters of a job: checked and resolved before anything is queued.

use std::time::Duration;

use actors::job_scheduler::{ControlConfig, GuideConfig, GuidePicture, IpAdapterConfig, LikenessConfig};
use actors::render::{
    CANNY, CONTROLNET_FOLDER, IP_ADAPTER_FOLDER, NAMED_MAX, guide_file, list_controlnets, list_ip_adapters,
};
use futures_util::future::try_join_all;
use models::value_words::{Takes, is_not, shown};
use serde_json::Value as Json;
use uuid::Uuid;

use crate::context::Context;
use crate::error::{Kind, ServiceError};
use crate::files::reference_picture::{self, Reference};
use crate::jobs::job_fields::reference;
use crate::jobs::job_request::JobRequest;

/// ControlNets, or IP-Adapters, of one job at most.
const EACH_MAX: usize = 4;
/// Pictures of one IP-Adapter at most.
const PICTURES_MAX: usize = 4;
/// Pictures that are fetched at once.
const AT_ONCE: usize = 4;
/// How long all of them may take to arrive.
const TIME_MAX: Duration = Duration::from_secs(60);
/// Largest file of a picture, in bytes.
const PICTURE_BYTES_MAX: i64 = 20 << 20;
/// Largest scale.
const SCALE_MAX: f64 = 2.0;

/// An object of a list, with the field that names it.
struct Item<'a> {
    field: String,
    members: &'a Json,
}

impl Item<'_> {
    fn refuse<T>(&self, member: &str, reason: impl Into<String>) -> Result<T, ServiceError> {
        Err(ServiceError::field(format!("{}.{member}", self.field), reason))
    }

    fn text(&self, member: &str) -> Result<Option<&str>, ServiceError> {
        let value = &self.members[member];
        match Takes::Text.check(value) {
            Ok(()) => Ok(value.as_str().filter(|text| !text.trim().is_empty())),
            Err(reason) => self.refuse(member, reason),
        }
    }

    fn needed(&self, member: &str) -> Result<&str, ServiceError> {
        match self.text(member)? {
            Some(text) => Ok(text),
            None => self.refuse(member, "missing"),
        }
    }

    fn within(&self, member: &str, default: f64, max: f64) -> Result<f64, ServiceError> {
        let value = &self.members[member];
        if let Err(reason) = Takes::Number.check(value) {
            return self.refuse(member, reason);
        }
        match value.as_f64().unwrap_or(default) {
            number if (0.0..=max).contains(&number) => Ok(number),
            number => self.refuse(member, format!("{number} is not within 0 to {max}")),
        }
    }
}

fn items<'a>(field: &str, list: &'a Json) -> Result<Vec<Item<'a>>, ServiceError> {
    let items = match list {
        Json::Null => return Ok(Vec::new()),
        Json::Array(items) => items,
        other => return Err(ServiceError::field(field, is_not(&shown(other), "a list of objects"))),
    };
    if items.len() > EACH_MAX {
        let reason = format!("{} are given; a job takes {EACH_MAX} at most", items.len());
        return Err(ServiceError::field(field, reason));
    }
    let item = |(place, members): (usize, &'a Json)| {
        let field = format!("{field}[{place}]");
        match members.is_object() {
            true => Ok(Item { field, members }),
            false => Err(ServiceError::field(field, is_not(&shown(members), "an object"))),
        }
    };
    items.iter().enumerate().map(item).collect()
}

/// The pictures of an IP-Adapter: the member that names each, and its address.
fn addresses<'a>(item: &'a Item<'_>) -> Result<Vec<(String, &'a str)>, ServiceError> {
    let first = item.text("image_url")?.map(|url| ("image_url".to_string(), url));
    let mut all: Vec<(String, &str)> = first.into_iter().collect();
    match &item.members["image_urls"] {
        Json::Null => {}
        Json::Array(urls) => {
            for (place, url) in urls.iter().enumerate() {
                let member = format!("image_urls[{place}]");
                match url.as_str().filter(|url| !url.trim().is_empty()) {
                    Some(url) => all.push((member, url)),
                    None => return item.refuse(&member, is_not(&shown(url), "an address")),
                }
            }
        }
        other => return item.refuse("image_urls", is_not(&shown(other), "a list of addresses")),
    }
    match all.len() {
        0 => item.refuse("image_url", "missing"),
        1..=PICTURES_MAX => Ok(all),
        count => item.refuse("image_urls", format!("{count} pictures; {PICTURES_MAX} are taken at most")),
    }
}

/// Refuses other accounts' files.
pub(crate) fn check_owners(context: &Context, user: Uuid, request: &JobRequest) -> Result<(), ServiceError> {
    for (field, list) in [("controls", &request.controls), ("ip_adapters", &request.ip_adapters)] {
        for item in items(field, list)? {
            let urls = item.members["image_urls"].as_array().into_iter().flatten().enumerate();
            let urls = urls.map(|(place, url)| (format!("image_urls[{place}]"), url));
            for (member, given) in urls.chain([("image_url".to_string(), &item.members["image_url"])]) {
                let Some(given) = given.as_str() else { continue };
                reference_picture::check_owner(context, user, given)
                    .map_err(|error| error.of_field(format!("{}.{member}", item.field)))?;
            }
        }
    }
    Ok(())
}

/// Reads what leads a drawing beside its prompts; URLs are fetched, and models that are not there refused.
pub(crate) async fn resolve(
    context: &Context,
    user: Uuid,
    request: &JobRequest,
) -> Result<GuideConfig, ServiceError> {
    let mut guides = GuideConfig::default();
    // The fields and addresses of the pictures, in the order of the guides.
    let mut wanted: Vec<(String, String)> = Vec::new();
    for item in items("controls", &request.controls)? {
        let preprocess = item.text("preprocess")?.map(str::to_string);
        if let Some(other) = preprocess.as_deref().filter(|given| *given != CANNY) {
            return Err(ServiceError::none_of(format!("{}.preprocess", item.field), other, &[CANNY]));
        }
        let (start, end) = (item.within("start", 0.0, 1.0)?, item.within("end", 1.0, 1.0)?);
        if start > end {
            return item.refuse("start", format!("{start} is behind the end, {end}"));
        }
        let (model, address) = (item.needed("model")?.to_string(), item.needed("image_url")?);
        let scale = item.within("scale", 1.0, SCALE_MAX)?;
        wanted.push((format!("{}.image_url", item.field), address.to_string()));
        let picture = GuidePicture::default();
        guides.controls.push(ControlConfig { model, picture, preprocess, scale, start, end });
    }
    for item in items("ip_adapters", &request.ip_adapters)? {
        let scale = &item.members["scale"];
        let scale = match scale.is_object() {
            // Which layers there are is the model's to say.
            true => scale.clone(),
            false => item.within("scale", 0.6, SCALE_MAX)?.into(),
        };
        let model = item.needed("model")?.to_string();
        let addresses = addresses(&item)?;
        let pictures = vec![GuidePicture::default(); addresses.len()];
        let named = addresses.into_iter();
        wanted
            .extend(named.map(|(member, address)| (format!("{}.{member}", item.field), address.to_string())));
        guides.ip_adapters.push(IpAdapterConfig { model, pictures, scale });
    }
    if let Some((object, strength)) = &request.likeness {
        wanted.push(("reference_image_url".into(), object.clone()));
        guides.likeness = Some(LikenessConfig { picture: GuidePicture::default(), strength: *strength });
    }
    // What is refused fetches nothing.
    check_files(context, &guides).await?;
    let mut found = Vec::with_capacity(wanted.len());
    let read = async {
        for some in wanted.chunks(AT_ONCE) {
            let all = some.iter().map(|(field, address)| picture(context, user, field, address));
            found.extend(try_join_all(all).await?);
        }
        Ok::<(), ServiceError>(())
    };
    let late = |_| {
        let reason = format!("the pictures did not arrive within {} s", TIME_MAX.as_secs());
        ServiceError::worded(Kind::Bad, reason)
    };
    tokio::time::timeout(TIME_MAX, read).await.map_err(late)??;
    let of_controls = guides.controls.iter_mut().map(|control| &mut control.picture);
    let of_adapters = guides.ip_adapters.iter_mut().flat_map(|adapter| adapter.pictures.iter_mut());
    let of_likeness = guides.likeness.iter_mut().map(|likeness| &mut likeness.picture);
    for (place, picture) in of_controls.chain(of_adapters).chain(of_likeness).zip(found) {
        *place = picture;
    }
    Ok(guides)
}

async fn picture(
    context: &Context,
    user: Uuid,
    field: &str,
    address: &str,
) -> Result<GuidePicture, ServiceError> {
    let found = reference(context, user, field, Some(address)).await?;
    let (image, image_object) = found.map(Reference::into_parts).unwrap_or_default();
    let file = reference_picture::file_row(context, &image_object).await?;
    if file.is_some_and(|file| file["size"].as_i64().is_some_and(|size| size > PICTURE_BYTES_MAX)) {
        return Err(ServiceError::field(field, format!("larger than {PICTURE_BYTES_MAX} bytes")));
    }
    Ok(GuidePicture { image, image_object })
}

/// Refuses models that are not there. Remote workers have files of their own.
async fn check_files(context: &Context, guides: &GuideConfig) -> Result<(), ServiceError> {
    let named = |models: Vec<&String>| models.into_iter().cloned().collect::<Vec<String>>();
    let controls = named(guides.controls.iter().map(|control| &control.model).collect());
    let adapters = named(guides.ip_adapters.iter().map(|adapter| &adapter.model).collect());
    if context.services.render.is_none() || (controls.is_empty() && adapters.is_empty()) {
        return Ok(());
    }
    let folder = context.services.settings.models_dir.clone();
    let checked = tokio::task::spawn_blocking(move || {
        for (field, names, there, within) in [
            ("controls", controls, list_controlnets(&folder), CONTROLNET_FOLDER),
            ("ip_adapters", adapters, list_ip_adapters(&folder), IP_ADAPTER_FOLDER),
        ] {
            for (place, name) in names.iter().enumerate() {
                let field = format!("{field}[{place}].model");
                guide_file(&field, name, there.clone(), within).map_err(|message| {
                    let names = there.iter().map(|(name, _)| name.clone()).take(NAMED_MAX);
                    ServiceError::worded(Kind::Bad, message).with("accepted", names.collect::<Vec<_>>())
                })?;
            }
        }
        Ok(())
    });
    let unread = |_| Err(ServiceError::worded(Kind::Bad, "controls: the models folder cannot be read"));
    checked.await.unwrap_or_else(unread)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_picture_of_an_adapter_is_named_by_its_own_place() {
        let members = json!({"image_url": "a/1", "image_urls": ["a/2", "a/3"]});
        let item = Item { field: "ip_adapters[1]".into(), members: &members };
        let named = addresses(&item).expect("three pictures");
        let named: Vec<(&str, &str)> = named.iter().map(|(member, url)| (member.as_str(), *url)).collect();
        assert_eq!(named, [("image_url", "a/1"), ("image_urls[0]", "a/2"), ("image_urls[1]", "a/3")]);

        let members = json!({"image_urls": ["a/2", "a/3", 7]});
        let item = Item { field: "ip_adapters[1]".into(), members: &members };
        let refused = addresses(&item).expect_err("a number is no address").to_string();
        assert!(refused.contains("ip_adapters[1].image_urls[2]"), "{refused}");
    }
}
