//! The vocabulary in which a table is declared.
//!
//! A declaration is plain data. Defaults, checks and row policies are short texts in the notation of the
//! schema document, parsed once by [`crate::schema()`]; a test parses every one of them.

use crate::value::ColumnType;

/// Which actor kind takes the decisions about a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Aggregate {
    /// Accounts, profiles, roles, the library and its collections.
    User,
    /// Characters and what belongs to them.
    Character,
    /// Conversations and messages.
    Conversation,
    /// Projects, storyboards, books.
    Project,
    /// Stories, scenes, episodes, scripts.
    Story,
    /// Jobs and what they produce.
    JobScheduler,
    /// Models, providers, templates, presets, system configuration.
    Catalog,
    /// Logs, statistics, audit.
    Telemetry,
    /// Buckets and objects.
    File,
}

impl Aggregate {
    /// Every aggregate, in the order in which actors start.
    pub const ALL: [Aggregate; 9] = [
        Aggregate::User,
        Aggregate::Character,
        Aggregate::Conversation,
        Aggregate::Project,
        Aggregate::Story,
        Aggregate::JobScheduler,
        Aggregate::Catalog,
        Aggregate::Telemetry,
        Aggregate::File,
    ];

    /// The name used by the schema document, metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Aggregate::User => "user",
            Aggregate::Character => "character",
            Aggregate::Conversation => "conversation",
            Aggregate::Project => "project",
            Aggregate::Story => "story",
            Aggregate::JobScheduler => "job_scheduler",
            Aggregate::Catalog => "catalog",
            Aggregate::Telemetry => "telemetry",
            Aggregate::File => "file",
        }
    }
}

/// One table, whole.
#[derive(Debug)]
pub struct Table {
    /// `public` is served by the REST dialect; `auth` and `storage` are the server's own.
    pub schema: &'static str,
    /// The name on the wire.
    pub name: &'static str,
    /// Which documents name it.
    pub origin: &'static [&'static str],
    /// What a row stands for.
    pub purpose: &'static str,
    /// Who decides about its rows.
    pub owner: Aggregate,
    /// Columns in wire order. Append only: clients see this order.
    pub columns: &'static [Column],
    /// Columns of the primary key.
    pub primary_key: &'static [&'static str],
    /// Unique keys beside the primary key.
    pub unique: &'static [&'static [&'static str]],
    /// NULLs count as equal in this table's unique keys.
    pub unique_nulls_not_distinct: bool,
    /// Check constraints.
    pub checks: &'static [Check],
    /// Foreign keys.
    pub foreign_keys: &'static [ForeignKey],
    /// Relations that embeds may follow although no foreign key enforces them.
    pub soft_references: &'static [ForeignKey],
    /// Declared indexes; foreign keys and unique keys imply their own.
    pub indexes: &'static [Index],
    /// Columns by which the server itself looks rows up; each has an index.
    pub lookups: &'static [&'static str],
    /// Orders by which screens list rows and that neither the document nor the policy names; each has an index.
    pub listed_by: &'static [&'static [&'static str]],
    /// Indexes of our own beside those of the document: unique keys that a rule of the product asks for.
    pub own_indexes: &'static [Index],
    /// Columns that the server fills for every writer: what a client sends there is not used, and the answer says so.
    pub assigned_columns: &'static [&'static str],
    /// Text columns in which screens search for words; they have an index of words together, newest rows first.
    pub searched: &'static [&'static str],
    /// Who may do what.
    pub policies: Policies,
    /// Columns that only named callers may write.
    pub guarded_columns: &'static [Guarded],
    /// Behaviour that the documents describe as triggers, in words. `actors` implements it.
    pub triggers: &'static [&'static str],
    /// Which changes the recorded front end listens to.
    pub realtime: &'static [&'static str],
    /// Remarks of the schema document.
    pub doc: &'static str,
    /// Values computed from a row on reading; not stored, not written.
    pub computed: &'static [Computed],
    /// Text columns that hold the BLAKE3 name of a blob and keep it from being swept.
    pub blob_columns: &'static [&'static str],
    /// Whether each change leaves an audit row. Logs are their own record.
    pub audited: bool,
}

/// An empty public table to start a declaration from.
pub const TABLE: Table = Table {
    schema: "public",
    name: "",
    origin: &[],
    purpose: "",
    owner: Aggregate::User,
    columns: &[],
    primary_key: &["id"],
    unique: &[],
    unique_nulls_not_distinct: false,
    checks: &[],
    foreign_keys: &[],
    soft_references: &[],
    indexes: &[],
    lookups: &[],
    listed_by: &[],
    own_indexes: &[],
    assigned_columns: &[],
    searched: &[],
    policies: Policies { select: "never", insert: "never", update: "never", delete: "never" },
    guarded_columns: &[],
    triggers: &[],
    realtime: &[],
    doc: "",
    computed: &[],
    blob_columns: &[],
    audited: true,
};

/// One column. `NOT NULL` unless it says [`Column::nullable`].
#[derive(Debug)]
pub struct Column {
    /// The name on the wire.
    pub name: &'static str,
    /// Its PostgreSQL type.
    pub kind: ColumnType,
    /// Whether NULL is allowed.
    pub is_nullable: bool,
    /// The default, as an SQL expression.
    pub default: Option<&'static str>,
    /// Remark.
    pub doc: &'static str,
}

/// A column of a type.
pub const fn column(name: &'static str, kind: ColumnType) -> Column {
    Column { name, kind, is_nullable: false, default: None, doc: "" }
}

macro_rules! column_of {
    ($($name:ident $kind:ident),* $(,)?) => {$(
        #[doc = concat!("A `", stringify!($name), "` column.")]
        pub const fn $name(name: &'static str) -> Column {
            column(name, ColumnType::$kind)
        }
    )*};
}

column_of!(
    uuid Uuid, text Text, int4 Int4, int8 Int8, float8 Float8, numeric Numeric, boolean Bool,
    timestamptz Timestamptz, date Date, jsonb Jsonb, text_array TextArray, uuid_array UuidArray, inet Inet,
);

/// A column of an enumerated type.
pub const fn enumeration(name: &'static str, kind: &'static crate::value::EnumType) -> Column {
    column(name, ColumnType::Enum(kind))
}

impl Column {
    /// Allows NULL.
    pub const fn nullable(mut self) -> Column {
        self.is_nullable = true;
        self
    }

    /// Sets the default, an SQL expression such as `now()` or `'{}'::jsonb`.
    pub const fn default(mut self, expression: &'static str) -> Column {
        self.default = Some(expression);
        self
    }

    /// Adds a remark.
    pub const fn doc(mut self, text: &'static str) -> Column {
        self.doc = text;
        self
    }
}

/// A check constraint.
#[derive(Debug)]
pub struct Check {
    /// Constraint name; apps match on it.
    pub name: &'static str,
    /// The column it is mostly about.
    pub column: &'static str,
    /// An SQL condition.
    pub expression: &'static str,
    /// The narrower condition of the first documents, if it was widened.
    pub seed_expression: &'static str,
    /// What a later version of the described systems did with it.
    pub later: &'static str,
    /// Whether rows must satisfy it.
    pub is_enforced: bool,
    /// Remark.
    pub doc: &'static str,
}

/// A check constraint over one column.
pub const fn check(name: &'static str, column: &'static str, expression: &'static str) -> Check {
    Check { name, column, expression, seed_expression: "", later: "", is_enforced: true, doc: "" }
}

impl Check {
    /// Adds a remark.
    pub const fn doc(mut self, text: &'static str) -> Check {
        self.doc = text;
        self
    }

    /// Notes the narrower condition of the first documents.
    pub const fn seed(mut self, expression: &'static str) -> Check {
        self.seed_expression = expression;
        self
    }

    /// Keeps it as a part of the document that rows need not satisfy any more.
    pub const fn dropped(mut self) -> Check {
        self.is_enforced = false;
        self
    }

    /// Notes what became of it later.
    pub const fn later(mut self, text: &'static str) -> Check {
        self.later = text;
        self
    }
}

/// What happens to a row when the row it refers to goes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDelete {
    /// The deletion is refused.
    NoAction,
    /// The row goes too.
    Cascade,
    /// The reference becomes NULL.
    SetNull,
}

/// A foreign key on one column.
#[derive(Debug)]
pub struct ForeignKey {
    /// The referring column.
    pub column: &'static str,
    /// The referred table, `schema.name` outside `public`.
    pub table: &'static str,
    /// The referred column.
    pub target: &'static str,
    /// What a deletion of the referred row does.
    pub on_delete: OnDelete,
    /// A name given by the documents; else `<table>_<column>_fkey`.
    pub name: Option<&'static str>,
    /// Remark.
    pub doc: &'static str,
}

/// A foreign key to another table's `id`.
pub const fn references(column: &'static str, table: &'static str, on_delete: OnDelete) -> ForeignKey {
    ForeignKey { column, table, target: "id", on_delete, name: None, doc: "" }
}

impl ForeignKey {
    /// Gives the constraint its documented name.
    pub const fn named(mut self, name: &'static str) -> ForeignKey {
        self.name = Some(name);
        self
    }

    /// Adds a remark.
    pub const fn doc(mut self, text: &'static str) -> ForeignKey {
        self.doc = text;
        self
    }
}

/// How an index is organised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IndexKind {
    /// Ordered by its columns.
    Btree,
    /// One entry per array element or per top-level JSON member.
    Gin,
    /// One entry per stem of the words in its text columns, in the order of its last column; our own only.
    Words,
}

/// A declared index.
#[derive(Debug)]
pub struct Index {
    /// Its name.
    pub name: &'static str,
    /// `column` or `column desc`.
    pub columns: &'static [&'static str],
    /// Organisation.
    pub kind: IndexKind,
    /// Only rows that satisfy this condition are indexed.
    pub filter: Option<&'static str>,
    /// No two indexed rows share a key.
    pub is_unique: bool,
    /// Remark.
    pub doc: &'static str,
}

/// An ordered index.
pub const fn index(name: &'static str, columns: &'static [&'static str]) -> Index {
    Index { name, columns, kind: IndexKind::Btree, filter: None, is_unique: false, doc: "" }
}

impl Index {
    /// Indexes only rows that satisfy `condition`.
    pub const fn filter(mut self, condition: &'static str) -> Index {
        self.filter = Some(condition);
        self
    }

    /// Organises by element.
    pub const fn gin(mut self) -> Index {
        self.kind = IndexKind::Gin;
        self
    }

    /// Refuses a second row with the same key.
    pub const fn unique(mut self) -> Index {
        self.is_unique = true;
        self
    }

    /// Adds a remark.
    pub const fn doc(mut self, text: &'static str) -> Index {
        self.doc = text;
        self
    }
}

/// Row policies, one rule per command, in the policy vocabulary (see [`crate::policy`]).
#[derive(Debug)]
pub struct Policies {
    /// Which rows may be read.
    pub select: &'static str,
    /// Which new rows may be written.
    pub insert: &'static str,
    /// Which rows may be changed; old and new row must both satisfy it.
    pub update: &'static str,
    /// Which rows may be deleted.
    pub delete: &'static str,
}

/// Columns that only some callers may write.
#[derive(Debug)]
pub struct Guarded {
    /// The columns.
    pub columns: &'static [&'static str],
    /// A rule without row conditions, such as `admin | service`.
    pub write: &'static str,
    /// Remark.
    pub doc: &'static str,
}

/// A value computed on reading.
#[derive(Debug)]
pub struct Computed {
    /// Its name in `select`, filters and order.
    pub name: &'static str,
    /// How it is made.
    pub formula: Formula,
}

/// The formulas of computed columns.
#[derive(Debug)]
pub enum Formula {
    /// Characters in a text column, as PostgreSQL's `length(text)`.
    Length(&'static str),
}
