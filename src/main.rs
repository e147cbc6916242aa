//! Playhouse: a studio server for AI characters.

fn main() {
    println!("playhouse {}", env!("CARGO_PKG_VERSION"));
}
