#!/usr/bin/env bash
# Checks what a graphics card would compute on a machine that has none: single operations and the goldens of pictures and
# chats, on a Vulkan driver that computes on the processor. Outside the ordinary tests, for it builds burn anew (half an hour
# on two cores, 6 GB in target/gpu).
#
#     tests/gpu.sh [lavapipe|swiftshader|own] [wgsl|spirv] [TEST …]
#
# TEST is a part of the names of tests (`runs_agree_with_diffusers` takes longest: 62 runs of 473 steps); with
# PLAYHOUSE_GPU_BUILD_ONLY=1 it builds and runs none.
#
# `own` takes the drivers of this machine as they are, a card's for instance. `wgsl` (the default) hides the addresses without
# which burn compiles to WGSL, `spirv` leaves the choice to burn: see tests/gpu/no_addresses.c for why those drivers need the
# former. Burn measures kernels before it chooses one; drivers on the processor take minutes for each and too much
# memory, so they are checked with a build that does not measure, from a copy of the sources.
set -euo pipefail
cd "$(dirname "$0")/.."
driver=${1:-lavapipe}
kernels=${2:-wgsl}
shift $(($# < 2 ? $# : 2))
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target/gpu} CARGO_INCREMENTAL=0
mkdir -p "$CARGO_TARGET_DIR"

need() { # a file, and the Debian package that has it
    [ -e "$1" ] && return
    echo "$1 is missing: installing $2" >&2
    apt-get install --yes --no-install-recommends "$2"
}
need /usr/lib/x86_64-linux-gnu/libvulkan.so.1 libvulkan1
case $driver in
swiftshader)
    library=/usr/lib/chromium/libvk_swiftshader.so
    need $library chromium
    icd=$CARGO_TARGET_DIR/swiftshader_icd.json
    echo "{\"file_format_version\": \"1.0.0\", \"ICD\": {\"library_path\": \"$library\", \"api_version\": \"1.1.0\"}}" > "$icd"
    export VK_ICD_FILENAMES=$icd VK_DRIVER_FILES=$icd
    ;;
lavapipe)
    icd=/usr/share/vulkan/icd.d/lvp_icd.x86_64.json
    need $icd mesa-vulkan-drivers
    export VK_ICD_FILENAMES=$icd VK_DRIVER_FILES=$icd
    ;;
own) ;;
*)
    echo "$driver is not one of lavapipe, swiftshader, own" >&2
    exit 2
    ;;
esac
case $kernels in
spirv) ;;
wgsl)
    need /usr/include/vulkan/vk_layer.h libvulkan-dev
    layer=$CARGO_TARGET_DIR/layer
    mkdir -p "$layer"
    cc -O1 -shared -fPIC -o "$layer/libno_addresses.so" tests/gpu/no_addresses.c
    cat > "$layer/no_addresses.json" <<JSON
{"file_format_version": "1.1.0", "layer": {"name": "VK_LAYER_PLAYHOUSE_no_addresses", "type": "GLOBAL",
 "library_path": "$layer/libno_addresses.so", "api_version": "1.3.0", "implementation_version": "1",
 "description": "Hides buffer device addresses"}}
JSON
    export VK_LAYER_PATH=$layer VK_INSTANCE_LAYERS=VK_LAYER_PLAYHOUSE_no_addresses
    ;;
*)
    echo "$kernels is not one of wgsl, spirv" >&2
    exit 2
    ;;
esac
export PLAYHOUSE_GOLDENS_DEVICE=${PLAYHOUSE_GOLDENS_DEVICE:-vulkan:0}
profile=$PWD/tests/gpu/profile.toml
if [ "$driver" != own ]; then
    copy=$CARGO_TARGET_DIR/untuned
    mkdir -p "$copy"
    { git ls-files; git ls-files --others --exclude-standard; } | sort -u | tar --create --files-from - | tar --extract --directory "$copy"
    # Features of dependencies add up and cannot be taken away otherwise.
    sed -i 's/"autotune", //' "$copy/Cargo.toml"
    cd "$copy"
fi
# What has numbers of PyTorch's, and pictures of the whole server; of other tests those that are named.
cargo test --workspace --features vulkan --config "$profile" \
    --test device_operations --test goldens --test inpainting --test refiner --test motion --test upscalers --test vae_files \
    --test vae_tiles --test devices ${PLAYHOUSE_GPU_BUILD_ONLY:+--no-run} -- --test-threads=1 --nocapture "$@"
