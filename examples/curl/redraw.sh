#!/usr/bin/env bash
# Keeps a PNG, shares it for an hour, and draws over it: bash redraw.sh cat.png "a cat in rain" rain.png. Needs curl and jq.
set -euo pipefail
file=$1 prompt=$2 target=$3
name=$(basename "$file")

# ask PATH [more for curl]: one request of the account.
ask() {
  curl -sS --fail-with-body "$PLAYHOUSE_URL/$1" -H "apikey: $PLAYHOUSE_ANON_KEY" \
    -H "Authorization: Bearer ${token:-$PLAYHOUSE_ANON_KEY}" "${@:2}"
}
json='Content-Type: application/json'

account="{\"email\": \"$RANDOM-$$-$(date +%s)@example.com\", \"password\": \"correct horse\"}"
session=$(ask auth/v1/signup -H "$json" -d "$account")
token=$(jq -r .access_token <<< "$session")
user=$(jq -r .user.id <<< "$session")

# A caller writes below the folder named after their id.
stored="reference_images/$user/$name"
ask "storage/v1/object/$stored" -H 'Content-Type: image/png' --data-binary "@$file" > /dev/null
signed=$(ask "storage/v1/object/sign/$stored" -H "$json" -d '{"expiresIn": 3600}' | jq -r .signedURL)
echo "for an hour: $PLAYHOUSE_URL/storage/v1$signed"
curl -sS --fail "$PLAYHOUSE_URL/storage/v1$signed" | cmp - "$file"

# The picture to begin with, and how much of it goes.
job=$(jq -n --arg prompt "$prompt" --arg stored "$stored" \
  '{job_type: "sdxl_image_fast", $prompt, reference_image_url: $stored, denoise_strength: 0.6}' |
  ask functions/v1/queue-job -H "$json" -d @- | jq -r .jobId)
ask "functions/v1/job-progress?job_id=$job" -N | grep '^event: done' > /dev/null

# Rows are read with PostgREST's filters and embeds.
asset=$(ask "rest/v1/workspace_assets?job_id=eq.$job&select=temp_storage_path,generation_seed" | jq '.[0]')
ask "storage/v1/object/workspace-temp/$(jq -r .temp_storage_path <<< "$asset")" -o "$target"
echo "$target: seed $(jq -r .generation_seed <<< "$asset")"
