//! Files of the storage dialect; their bytes are blobs named by their hash.

use crate::table::*;

/// One file.
pub static OBJECTS: Table = Table {
    schema: "storage",
    name: "objects",
    purpose: "One file in a bucket",
    owner: Aggregate::File,
    columns: &[
        uuid("id").default("gen_random_uuid()"),
        text("bucket_id"),
        text("name").doc("path inside the bucket, without leading slash"),
        uuid("owner").nullable(),
        text("blob_hash").doc("BLAKE3 of the bytes, hexadecimal"),
        int8("size").doc("bytes"),
        text("mime_type"),
        text("cache_control").nullable(),
        jsonb("user_metadata").nullable(),
        timestamptz("created_at").default("now()"),
        timestamptz("updated_at").default("now()"),
        timestamptz("last_accessed_at").nullable(),
    ],
    unique: &[&["bucket_id", "name"]],
    foreign_keys: &[references("bucket_id", "storage.buckets", OnDelete::NoAction)],
    indexes: &[index("objects_owner_idx", &["owner"])],
    // Private buckets admit a caller to the folder named after their id. Files of public buckets are served to
    // everyone before any policy is asked, but only those who see a row here may list it.
    policies: Policies {
        select: "folder(name) | owner(owner) | bucket_id='system_assets' | admin",
        insert: "folder(name) & not bucket_id='system_assets' | admin",
        update: "folder(name) & not bucket_id='system_assets' | admin",
        delete: "folder(name) & not bucket_id='system_assets' | admin",
    },
    blob_columns: &["blob_hash"],
    audited: false,
    ..TABLE
};
