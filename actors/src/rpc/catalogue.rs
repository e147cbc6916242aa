//! Which functions there are.

use models::value::APP_ROLE;
use models::{Aggregate, ColumnType};

use super::{
    Argument, ArgumentKind, Body, Function, activity, cleanup, profile, roles, session, stats, tasks, url,
    usage,
};

const fn required(name: &'static str, kind: ColumnType) -> Argument {
    Argument { name, kind: ArgumentKind::Column(kind), default: None }
}

const fn optional(name: &'static str, kind: ColumnType, default: &'static str) -> Argument {
    Argument { name, kind: ArgumentKind::Column(kind), default: Some(default) }
}

const ROLE: Argument =
    Argument { name: "_role", kind: ArgumentKind::Column(ColumnType::Enum(&APP_ROLE)), default: None };
const METADATA: Argument =
    Argument { name: "p_metadata", kind: ArgumentKind::Json, default: Some("'{}'::jsonb") };

/// Every database function.
pub static FUNCTIONS: &[Function] = &[
    Function {
        name: "has_role",
        arguments: &[required("_user_id", ColumnType::Uuid), ROLE],
        is_stable: true,
        returns: "boolean",
        owner: Aggregate::User,
        body: Body::Read(roles::has_role),
    },
    Function {
        name: "get_user_role_priority",
        arguments: &[required("_user_id", ColumnType::Uuid)],
        is_stable: true,
        returns: "integer",
        owner: Aggregate::User,
        body: Body::Read(roles::get_user_role_priority),
    },
    Function {
        name: "create_workspace_session",
        arguments: &[
            required("p_user_id", ColumnType::Uuid),
            optional("p_session_name", ColumnType::Text, "'Workspace Session'"),
        ],
        is_stable: false,
        returns: "uuid",
        owner: Aggregate::User,
        body: Body::Write(session::create_workspace_session),
    },
    Function {
        name: "cleanup_expired_workspace_assets",
        arguments: &[],
        is_stable: false,
        returns: "integer",
        owner: Aggregate::JobScheduler,
        body: Body::Write(cleanup::cleanup_expired_workspace_assets),
    },
    Function {
        name: "clean_orphaned_jobs",
        arguments: &[],
        is_stable: false,
        returns: "integer",
        owner: Aggregate::JobScheduler,
        body: Body::Write(cleanup::clean_orphaned_jobs),
    },
    Function {
        name: "cleanup_old_profile_audit_logs",
        arguments: &[],
        is_stable: false,
        returns: "integer",
        owner: Aggregate::Telemetry,
        body: Body::Write(cleanup::cleanup_old_profile_audit_logs),
    },
    Function {
        name: "get_system_stats",
        arguments: &[optional("p_days", ColumnType::Int4, "30")],
        is_stable: true,
        returns: "json",
        owner: Aggregate::Telemetry,
        body: Body::Read(stats::get_system_stats),
    },
    Function {
        name: "verify_user_age",
        arguments: &[required("user_birth_date", ColumnType::Date)],
        is_stable: true,
        returns: "boolean",
        owner: Aggregate::User,
        body: Body::Read(profile::verify_user_age),
    },
    Function {
        name: "log_user_activity",
        arguments: &[
            required("p_user_id", ColumnType::Uuid),
            required("p_action", ColumnType::Text),
            optional("p_resource_type", ColumnType::Text, "NULL"),
            optional("p_resource_id", ColumnType::Text, "NULL"),
            METADATA,
            optional("p_ip_address", ColumnType::Inet, "NULL"),
            optional("p_user_agent", ColumnType::Text, "NULL"),
        ],
        is_stable: false,
        returns: "uuid",
        owner: Aggregate::Telemetry,
        body: Body::Write(activity::log_user_activity),
    },
    Function {
        name: "get_safe_profile_view",
        arguments: &[required("profile_id", ColumnType::Uuid)],
        is_stable: true,
        returns: "json",
        owner: Aggregate::User,
        body: Body::Read(profile::get_safe_profile_view),
    },
    Function {
        name: "is_url_expired",
        arguments: &[required("expires_at", ColumnType::Timestamptz)],
        is_stable: true,
        returns: "boolean",
        owner: Aggregate::File,
        body: Body::Read(url::is_url_expired),
    },
    Function {
        name: "upsert_usage_aggregate",
        arguments: &[
            required("p_provider_id", ColumnType::Uuid),
            optional("p_model_id", ColumnType::Uuid, "NULL"),
            required("p_date", ColumnType::Date),
            optional("p_hour", ColumnType::Int4, "NULL"),
        ],
        is_stable: false,
        returns: "void",
        owner: Aggregate::Telemetry,
        body: Body::Write(usage::upsert_usage_aggregate),
    },
    Function {
        name: "backfill_usage_aggregates",
        arguments: &[required("p_start_date", ColumnType::Date), required("p_end_date", ColumnType::Date)],
        is_stable: false,
        returns: "integer",
        owner: Aggregate::Telemetry,
        body: Body::Write(usage::backfill_usage_aggregates),
    },
    Function {
        name: "check_valid_tasks",
        arguments: &[required("arr", ColumnType::TextArray)],
        is_stable: true,
        returns: "boolean",
        owner: Aggregate::Catalog,
        body: Body::Read(tasks::check_valid_tasks),
    },
    Function {
        name: "get_task_for_clip_type",
        arguments: &[required("p_clip_type", ColumnType::Text)],
        is_stable: true,
        returns: "text[]",
        owner: Aggregate::Catalog,
        body: Body::Read(tasks::get_task_for_clip_type),
    },
];
