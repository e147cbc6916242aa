//! Why a file was declined; the storage dialect has words for each.

/// Why a file was declined.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileRefusal {
    /// There is no such bucket, or the caller may not see it.
    #[error("Bucket not found")]
    NoSuchBucket,
    /// There is no such object, or the caller may not see it.
    #[error("Object not found")]
    NoSuchKey,
    /// A bucket that is to be removed still has objects.
    #[error("The bucket you tried to delete is not empty")]
    BucketNotEmpty,
    /// A bucket cannot have this name.
    #[error("Bucket name invalid")]
    BucketName,
    /// An object cannot have this path.
    #[error("Invalid key: {key}")]
    Key {
        /// The path, shortened.
        key: String,
    },
    /// More bytes than the bucket or the server takes.
    #[error("The object exceeded the maximum allowed size")]
    TooLarge {
        /// The limit, in bytes.
        bytes_max: u64,
    },
    /// The bucket does not take this type.
    #[error("mime type {mime_type} is not supported")]
    MimeType {
        /// What the upload said it is.
        mime_type: String,
    },
    /// The bytes were swept before the row that names them was written.
    #[error("the bytes of this object are gone")]
    BlobGone,
}
