//! What the command line says of a server: its settings, its tables as TypeScript, its description.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value as Json, json};

fn run(arguments: &[&str], data: &Path, environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_playhouse"));
    command.args(arguments).arg("--data").arg(data).envs(environment.iter().copied());
    command.output().expect("the binary runs")
}

fn json_of(output: &Output) -> Json {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn every_setting_says_what_it_is_and_where_that_comes_from() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("playhouse.json");
    std::fs::write(&file, json!({"rows_max": 50, "callback_secret": "s3cret"}).to_string()).expect("a file");
    let settings = json_of(&run(&["config"], folder.path(), &[("PLAYHOUSE_ROWS_MAX", "60")]));
    assert_eq!(settings["rows_max"], json!({"value": 60, "from": "environment: PLAYHOUSE_ROWS_MAX"}));
    assert_eq!(settings["callback_secret"]["from"], format!("file: {}", file.display()));
    assert_eq!(settings["data"]["from"], "flag: --data");
    assert_eq!(settings["query_s_max"], json!({"value": 30, "from": "default"}));
    assert!(!settings.to_string().contains("s3cret"));
    // All of them.
    let Json::Object(known) = serde_json::to_value(playhouse::config::Config::default()).expect("settings")
    else {
        panic!("no settings")
    };
    assert!(known.keys().all(|name| settings.get(name).is_some()));
    let refused = run(&["config"], folder.path(), &[("PLAYHOUSE_ROWS_MAX", "many")]);
    assert!(!refused.status.success());
}

#[test]
fn the_server_describes_itself() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = [("PLAYHOUSE_PUBLIC_URL", "https://studio.example.com/a")];
    let document = json_of(&run(&["openapi"], folder.path(), &place));
    assert_eq!((&document["host"], &document["basePath"]), (&json!("studio.example.com"), &json!("/a")));
    assert_eq!(document["schemes"], json!(["https"]));
    for table in models::schema().public() {
        assert!(document["paths"].get(format!("/rest/v1/{}", table.name())).is_some(), "{}", table.name());
    }
    assert!(document["paths"]["/v1/chat/completions"]["post"].is_object());
    for (name, _) in playhouse::functions::callers() {
        assert!(document["paths"][format!("/functions/v1/{name}")]["post"].is_object(), "{name}");
    }
    // Every route of the dialects for programs, with its methods, and no other.
    let mut described: Vec<String> = Vec::new();
    for (path, operations) in document["paths"].as_object().expect("an object") {
        if path.starts_with("/v1/") || path.starts_with("/sdapi/v1/") {
            // Those of webtoons are compared where they stand.
            let others = operations.as_object().expect("an object").iter();
            let others = others.filter(|(_, about)| about["tags"] != json!(["webtoons"]));
            described.extend(others.map(|(verb, _)| format!("{verb} {path}")));
        }
    }
    let mut served: Vec<String> = Vec::new();
    for (dialect, source) in [
        ("/v1", include_str!("../../src/openai/mod.rs")),
        ("/sdapi/v1", include_str!("../../src/sdapi/mod.rs")),
    ] {
        for route in source.split(".route(\"").skip(1) {
            let (path, handler) = route.split_once('"').expect("a path");
            let handler = handler.lines().next().unwrap_or_default();
            for verb in ["get", "post"] {
                if handler.contains(&format!("{verb}(")) || (verb == "post" && handler.contains("edits")) {
                    served.push(format!("{verb} {dialect}{}", path.replace("{*id}", "{id}")));
                }
            }
        }
    }
    described.sort();
    served.sort();
    assert_eq!(described, served);
    assert_eq!(document["definitions"]["jobs"]["properties"]["id"]["format"], "uuid");
    let plain = json_of(&run(&["openapi"], folder.path(), &[]));
    assert_eq!((&plain["host"], &plain["basePath"]), (&json!("127.0.0.1:54321"), &json!("/")));
}

/// What a client program may do with the types, and what the compiler is to refuse.
const PROGRAM: &str = "import type { Database } from './database.types'
type Tables = Database['public']['Tables']
const job: Tables['jobs']['Insert'] = { user_id: 'a', job_type: 'sdxl_image_fast' }
const row = (job: Tables['jobs']['Row']): string | null => job.status
const role: Database['public']['Enums']['app_role'] = 'admin'
const change: Tables['jobs']['Update'] = {}
const has: Database['public']['Functions']['has_role']['Args'] = { _user_id: 'a', _role: role }
const back: Database['public']['Functions']['has_role']['Returns'] = true
// @ts-expect-error an insert needs its columns
const without: Tables['jobs']['Insert'] = { job_type: 'a' }
// @ts-expect-error there is no such column
const unknown: Tables['jobs']['Update'] = { no_such_column: 1 }
// @ts-expect-error there is no such role
const wrong: Database['public']['Enums']['app_role'] = 'emperor'
export { job, row, role, change, has, back, without, unknown, wrong }
";
/// The same through supabase-js.
const CLIENT: &str = "import { createClient } from '@supabase/supabase-js'
import type { Database } from './database.types'
const client = createClient<Database>('http://localhost', 'key')
export async function check() {
  const { data } = await client.from('jobs').select('id, attempts').single()
  const id: string | undefined = data?.id
  // @ts-expect-error attempts is a number
  const attempts: string | undefined = data?.attempts
  const { data: nested } = await client.from('messages').select('content, conversations(title)').single()
  const title: string | null | undefined = nested?.conversations?.title
  // @ts-expect-error there is no such table
  client.from('no_such_table')
  return [id, attempts, title]
}
";

#[test]
fn the_tables_are_typescript() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = run(&["types"], folder.path(), &[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("text");
    for table in models::schema().public() {
        assert!(text.contains(&format!("\n      {}: {{\n        Row: {{", table.name())), "{}", table.name());
    }
    let studio = Path::new(env!("CARGO_MANIFEST_DIR")).join("studio");
    let compiler = studio.join("node_modules/typescript/bin/tsc");
    if !compiler.is_file() {
        eprintln!("without studio/node_modules the types are not compiled");
        return;
    }
    let place = tempfile::tempdir_in(studio.join("node_modules")).expect("a folder");
    for (name, text) in [("database.types.ts", text.as_str()), ("program.ts", PROGRAM), ("client.ts", CLIENT)]
    {
        std::fs::write(place.path().join(name), text).expect("a file");
    }
    let options = "--ignoreConfig --noEmit --strict --skipLibCheck --target es2022 --module esnext --moduleResolution bundler";
    let output = Command::new("node")
        .arg(&compiler)
        .args(options.split(' '))
        .args(["program.ts", "client.ts"])
        .current_dir(place.path())
        .output()
        .expect("node runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
