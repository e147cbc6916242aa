//! Chapters of a book.

use crate::table::*;

/// Chapters of a book.
pub static CHAPTERS: Table = Table {
    name: "chapters",
    origin: &["seed 004"],
    purpose: "Chapters of a book",
    owner: Aggregate::Project,
    columns: &[
        uuid("id").default("gen_random_uuid()"),
        uuid("book_id"),
        text("title"),
        text("content"),
        int4("chapter_number").nullable(),
        text("content_type").default("'chapter'::text"),
        int4("order_index").nullable(),
        text("summary").nullable(),
        int4("duration").nullable(),
        timestamptz("created_at").default("now()"),
        timestamptz("updated_at").default("now()"),
    ],
    foreign_keys: &[references("book_id", "books", OnDelete::Cascade)],
    indexes: &[index("idx_chapters_book_id", &["book_id"])],
    policies: Policies {
        select: "owner_via(book_id→books.user_id) | admin",
        insert: "owner_via(book_id→books.user_id) | admin",
        update: "owner_via(book_id→books.user_id) | admin",
        delete: "owner_via(book_id→books.user_id) | admin",
    },
    doc: "minimal",
    ..TABLE
};
