//! The buckets that applications expect.

use models::{Aggregate, Value, schema};
use store::{Caller, Transaction};

use crate::aggregate::Decision;
use crate::refusal::Refusal;

struct Seed {
    id: &'static str,
    public: bool,
    mib_max: i64,
    mime_types: &'static [&'static str],
}

const IMAGES_AND_VIDEOS: &[&str] = &["image/*", "video/mp4", "video/webm", "video/quicktime"];

/// The library takes sound too: music and effects of films.
const PICTURES_AND_SOUND: &[&str] = &["image/*", "audio/*", "video/mp4", "video/webm", "video/quicktime"];

const SEEDS: [Seed; 7] = [
    Seed { id: "avatars", public: true, mib_max: 10, mime_types: &["image/*"] },
    Seed { id: "exports", public: false, mib_max: 2048, mime_types: &[] },
    Seed { id: "reference_images", public: false, mib_max: 50, mime_types: &["image/*"] },
    Seed { id: "system_assets", public: true, mib_max: 50, mime_types: &[] },
    Seed { id: "user-library", public: false, mib_max: 200, mime_types: PICTURES_AND_SOUND },
    Seed { id: "videos", public: true, mib_max: 200, mime_types: &["video/*"] },
    Seed { id: "workspace-temp", public: false, mib_max: 200, mime_types: IMAGES_AND_VIDEOS },
];

/// Makes the buckets that are missing; those that are there stay as an operator left them.
#[derive(Debug)]
pub struct SeedBuckets;

impl Decision for SeedBuckets {
    type Answer = ();

    fn owner(&self) -> Aggregate {
        Aggregate::File
    }

    fn decide(self, transaction: &Transaction) -> Result<(), Refusal> {
        let buckets = schema().known("storage.buckets");
        for seed in &SEEDS {
            let types = |types: &[&str]| {
                Value::TextArray(types.iter().map(|pattern| Some((*pattern).to_string())).collect())
            };
            if let Some(old) = transaction.reads().get(buckets, &[Value::text(seed.id)])? {
                // One that has what an earlier version gave it gets what this one gives.
                let column = buckets.at("allowed_mime_types");
                if seed.id == "user-library" && old[column] == types(IMAGES_AND_VIDEOS) {
                    let mut row = old.clone();
                    row[column] = types(seed.mime_types);
                    transaction.update(&Caller::new(transaction.claims), buckets, &old, row)?;
                }
                continue;
            }
            let mut row = buckets.default_row();
            let mut set = |column: &str, value: Value| row[buckets.at(column)] = value;
            set("id", Value::text(seed.id));
            set("name", Value::text(seed.id));
            set("public", Value::Bool(seed.public));
            set("file_size_limit", Value::Int(seed.mib_max << 20));
            if !seed.mime_types.is_empty() {
                set("allowed_mime_types", types(seed.mime_types));
            }
            transaction.insert(&Caller::new(transaction.claims), buckets, row)?;
        }
        Ok(())
    }
}
